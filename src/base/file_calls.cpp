#include "base/file_calls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace switchyard {
namespace {

FileHook* hook = nullptr;

// Makes a call, or lets it fail as the hook says. `make(bytes)` returns -1 on failure.
template <class Make>
auto guarded(FileCall call, const std::string& path, size_t bytes, const Make& make)
    -> decltype(make(bytes)) {
  if (!hook) return make(bytes);
  if (const int number = hook->before(call, path, bytes); number != 0) {
    errno = number;
    return -1;
  }
  const auto result = make(bytes);
  if (result >= 0) hook->after(call, path);
  return result;
}

}  // namespace

void set_file_hook(FileHook* new_hook) { hook = new_hook; }

namespace file_calls {

int create(const std::string& path, int flags) {
  return guarded(FileCall::kCreate, path, 0,
                 [&](size_t) { return ::open(path.c_str(), flags | O_CREAT | O_CLOEXEC, 0644); });
}

ssize_t write(int fd, const char* data, size_t size, const std::string& path) {
  return guarded(FileCall::kWrite, path, size,
                 [&](size_t bytes) { return ::write(fd, data, bytes); });
}

int sync(int fd, const std::string& path) {
  return guarded(FileCall::kSync, path, 0, [&](size_t) {
    int result = 0;
    do {
      result = ::fsync(fd);
    } while (result != 0 && errno == EINTR);
    return result;
  });
}

int rename(const std::string& from, const std::string& to) {
  return guarded(FileCall::kRename, to, 0,
                 [&](size_t) { return ::rename(from.c_str(), to.c_str()); });
}

int remove(const std::string& path) {
  return guarded(FileCall::kRemove, path, 0, [&](size_t) { return std::remove(path.c_str()); });
}

int make_directory(const std::string& path) {
  return guarded(FileCall::kMakeDirectory, path, 0,
                 [&](size_t) { return ::mkdir(path.c_str(), 0777); });
}

}  // namespace file_calls
}  // namespace switchyard
