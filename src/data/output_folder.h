// A folder that appears whole or not at all: filled under a temporary name next to its place.
#pragma once

#include <string>

namespace switchyard {

/// Without commit() the temporary folder is removed with all that is in it.
class OutputFolder {
 public:
  /// Removes what a killed process left behind, then makes the temporary folder. Throws
  /// Error(kUsage) if `path` holds anything, unless it is prepared data and `overwrite` is set;
  /// Error(kRuntime) if it cannot be made there.
  OutputFolder(const std::string& path, bool overwrite);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  /// Where to write.
  const std::string& temporary() const { return temporary_; }
  /// Renames to the final place; prepared data that was there is removed after.
  void commit();

 private:
  std::string path_, temporary_;
  bool committed_ = false;
};

}  // namespace switchyard
