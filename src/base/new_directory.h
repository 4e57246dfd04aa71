// A directory that appears when it is complete.
#pragma once

#include <string>

namespace switchyard {

/// A folder beside `path` that becomes it by commit(), or is removed. Throws Error as the functions
/// of base/files.h.
class NewDirectory {
 public:
  /// Throws Error(kUsage) if there is something of this name already.
  explicit NewDirectory(const std::string& path);
  ~NewDirectory();
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;

  /// Where to write.
  const std::string& temporary() const { return temporary_; }
  void commit();

 private:
  std::string path_, temporary_;
  bool committed_ = false;
};

}  // namespace switchyard
