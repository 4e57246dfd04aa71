// A disk of a few hundred KiB, for tests of what happens when it is full.
#pragma once

#include <sys/mount.h>

#include <string>

#include "base/format.h"

namespace switchyard::testing {

/// A tmpfs of its own, mounted on an existing empty folder; mounted() is false where the kernel
/// does not let this process mount (only root may).
class SmallDisk {
 public:
  SmallDisk(const std::string& folder, int kibibytes) : folder_(folder) {
    const std::string size = format("size={}k", kibibytes);
    mounted_ = ::mount("none", folder.c_str(), "tmpfs", 0, size.c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return mounted_; }
  /// From now on nothing can be written here.
  bool make_read_only() const {
    return ::mount("none", folder_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr) == 0;
  }

 private:
  std::string folder_;
  bool mounted_ = false;
};

}  // namespace switchyard::testing
