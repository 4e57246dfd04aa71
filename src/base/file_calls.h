// The calls that change what is on disk, all of them in one place, so that tests can make any one
// of them fail (base/file_faults.h). Without a hook each costs one branch more than the bare call.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

namespace switchyard {

enum class FileCall { kCreate, kWrite, kSync, kRename, kRemove, kMakeDirectory };

/// Watches file calls, from any thread, and may make them fail.
class FileHook {
 public:
  virtual ~FileHook() = default;
  /// Before the call on `path` (of a rename: the new name). Returns 0, or the errno with which it
  /// fails without having been made. Of a write, `bytes` may be lowered, not to 0.
  virtual int before(FileCall call, const std::string& path, size_t& bytes) = 0;
  /// After a call that was made and succeeded.
  virtual void after(FileCall call, const std::string& path) = 0;
};

/// The hook of this process, null for none. Not while another thread works on files.
void set_file_hook(FileHook* hook);

/// As the system's: the result, or -1 and errno. `path` of an open file is for the hook only.
namespace file_calls {

/// open() for writing, mode 0644, close-on-exec.
int create(const std::string& path, int flags);
ssize_t write(int fd, const char* data, size_t size, const std::string& path);
int sync(int fd, const std::string& path);
int rename(const std::string& from, const std::string& to);
/// A file or an empty folder.
int remove(const std::string& path);
int make_directory(const std::string& path);

}  // namespace file_calls
}  // namespace switchyard
