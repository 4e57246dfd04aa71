// A folder that appears whole or not at all: filled under a temporary name next to its place.
#pragma once

#include <functional>
#include <string>
#include <utility>

namespace switchyard {

/// Without commit() or keep() the temporary folder is removed with all that is in it.
/// A process holds the lock of its folder as long as it works there.
class OutputFolder {
 public:
  /// Makes the temporary folder, or takes up one that a process left behind when it ended and of
  /// which `can_continue` says true; others, if there is no process of their number, are removed.
  /// Throws Error(kUsage) if `path` holds anything, unless it is prepared data and `overwrite` is
  /// set; Error(kRuntime) if it cannot be made there.
  OutputFolder(const std::string& path, bool overwrite,
               const std::function<bool(const std::string& left)>& can_continue = {});
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  /// Where to write.
  const std::string& temporary() const { return temporary_; }
  /// Whether the temporary folder holds what another process left.
  bool continued() const { return continued_; }
  /// Empties the temporary folder.
  void start_anew();
  /// Leaves the temporary folder to a later process.
  void keep() { kept_ = true; }
  /// Renames to the final place; prepared data that was there is removed after.
  void commit();

 private:
  /// Holds the lock of a folder, unless another process does.
  class Lock {
   public:
    Lock() = default;
    explicit Lock(const std::string& folder);
    ~Lock();
    Lock(Lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Lock& operator=(Lock&& other) noexcept {
      std::swap(fd_, other.fd_);
      return *this;
    }
    bool held() const { return fd_ >= 0; }

   private:
    int fd_ = -1;
  };

  std::string path_, temporary_;
  Lock lock_;
  bool continued_ = false, kept_ = false;
};

}  // namespace switchyard
