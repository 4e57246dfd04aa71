#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file_calls.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBufferBytes = 1 << 20;

void write_all(int fd, const char* data, size_t size, const std::string& path) {
  while (size > 0) {
    const ssize_t done = file_calls::write(fd, data, size, path);
    if (done < 0) {
      if (errno == EINTR) continue;
      throw system_failure("cannot write", path, errno);
    }
    data += done;
    size -= static_cast<size_t>(done);
  }
}

std::string parent_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // Opening a pipe would wait for its other end.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw system_failure("cannot open", path, errno);
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    if (S_ISDIR(info.st_mode)) throw system_failure("cannot map", path, EISDIR);
    throw usage_error("not a regular file", path, "name a file on a disk");
  }
  size_ = static_cast<size_t>(info.st_size);
  if (size_ > 0) {
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const int number = errno;
    ::close(fd);
    if (address == MAP_FAILED) throw system_failure("cannot map", path, number);
    data_ = static_cast<const std::byte*>(address);
  } else {
    ::close(fd);
  }
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

AtomicFileWriter::AtomicFileWriter(std::string path)
    : path_(std::move(path)), temporary_(path_ + ".tmp-" + std::to_string(::getpid())) {
  fd_ = file_calls::create(temporary_, O_WRONLY | O_TRUNC);
  if (fd_ < 0) throw system_failure("cannot create", path_, errno);
  buffer_.resize(kBufferBytes);
}

AtomicFileWriter::~AtomicFileWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (!left_) file_calls::remove(temporary_);
}

void AtomicFileWriter::write(std::span<const std::byte> bytes) {
  write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

void AtomicFileWriter::write(std::string_view text) {
  if (used_ + text.size() > kBufferBytes) flush();
  if (text.size() > kBufferBytes) {
    write_all(fd_, text.data(), text.size(), path_);
    written_ += text.size();
    return;
  }
  text.copy(buffer_.data() + used_, text.size());
  used_ += text.size();
}

void AtomicFileWriter::flush() {
  write_all(fd_, buffer_.data(), used_, path_);
  written_ += used_;
  used_ = 0;
}

void AtomicFileWriter::sync() {
  flush();
  if (file_calls::sync(fd_, path_) != 0) throw system_failure("cannot sync", path_, errno);
  left_ = true;
}

void AtomicFileWriter::commit() {
  flush();
  if (file_calls::sync(fd_, path_) != 0) throw system_failure("cannot sync", path_, errno);
  if (::close(std::exchange(fd_, -1)) != 0) {
    const int number = errno;
    file_calls::remove(temporary_);
    throw system_failure("cannot write", path_, number);
  }
  if (file_calls::rename(temporary_, path_) != 0) {
    const int number = errno;
    file_calls::remove(temporary_);
    throw system_failure("cannot rename to", path_, number);
  }
  sync_directory(parent_of(path_));
}

AppendFile::AppendFile(std::string path) : path_(std::move(path)) {
  fd_ = file_calls::create(path_, O_WRONLY | O_APPEND);
  if (fd_ < 0) throw system_failure("cannot open for appending", path_, errno);
  try {
    sync_directory(parent_of(path_));
  } catch (const Error&) {
    ::close(fd_);
    throw;
  }
}

AppendFile::~AppendFile() {
  if (fd_ >= 0) ::close(fd_);
}

void AppendFile::append(std::string_view bytes) {
  write_all(fd_, bytes.data(), bytes.size(), path_);
}

void AppendFile::sync() {
  if (file_calls::sync(fd_, path_) != 0) throw system_failure("cannot sync", path_, errno);
}

void write_file(const std::string& path, std::string_view text) {
  AtomicFileWriter file(path);
  file.write(text);
  file.commit();
}

std::string read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw system_failure("cannot open", path, errno);
  std::string text;
  char block[1 << 16];
  for (;;) {
    const ssize_t got = ::read(fd, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int number = errno;
      ::close(fd);
      throw system_failure("cannot read", path, number);
    }
    if (got == 0) break;
    text.append(block, static_cast<size_t>(got));
  }
  ::close(fd);
  return text;
}

void make_directories(const std::string& path) {
  std::error_code code;
  std::vector<std::string> missing;
  for (fs::path at(path); !at.empty() && !fs::exists(at, code); at = at.parent_path()) {
    missing.push_back(at.string());
  }
  for (auto folder = missing.rbegin(); folder != missing.rend(); ++folder) {
    // Another process may make it at the same time; a path may end in a slash.
    if (file_calls::make_directory(*folder) == 0) {
      sync_directory(parent_of(*folder));
    } else if (errno != EEXIST) {
      throw system_failure("cannot make the folder", path, errno);
    }
  }
  if (!fs::is_directory(path, code)) {
    throw system_failure("cannot make the folder", path, code ? code.value() : ENOTDIR);
  }
}

bool remove_tree(const std::string& path) {
  std::error_code code;
  const fs::file_status status = fs::symlink_status(path, code);
  if (!fs::exists(status)) return true;
  bool removed = true;
  if (fs::is_directory(status)) {
    std::vector<std::string> names;  // first: a folder must not change under an iterator
    for (const auto& entry : fs::directory_iterator(path, code)) names.push_back(entry.path());
    for (const std::string& name : names) removed = remove_tree(name) && removed;
  }
  return file_calls::remove(path) == 0 && removed;
}

void sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // A folder that may be written but not read cannot be synced.
  if (fd < 0 && errno == EACCES) return;
  if (fd < 0) throw system_failure("cannot open the folder", path, errno);
  const int result = file_calls::sync(fd, path);
  const int number = errno;
  ::close(fd);
  // Some file systems (FUSE, some network mounts) refuse fsync of folders with EINVAL.
  if (result != 0 && number != EINVAL) throw system_failure("cannot sync the folder", path, number);
}

void rename_synced(const std::string& from, const std::string& to) {
  if (file_calls::rename(from, to) != 0) throw system_failure("cannot rename to", to, errno);
  sync_directory(parent_of(to));
}

void commit_directory(const std::string& temporary, const std::string& path) {
  sync_directory(temporary);
  rename_synced(temporary, path);
}

}  // namespace switchyard
