// Files: mapped reading and the one way of writing. Everything written goes to a temporary name in
// the same folder, is synced, then renamed: a reader never sees half a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace switchyard {

/// A file mapped read-only. Movable; thread-safe to read.
/// Throws Error(kUsage) when the file is missing or not a regular one.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Streams into `path + ".tmp-<pid>"`; commit() syncs and renames. Without commit() the temporary
/// file is removed. Every failure (disk full, permissions) is an Error naming the final path.
class AtomicFileWriter {
 public:
  explicit AtomicFileWriter(std::string path);
  ~AtomicFileWriter();
  AtomicFileWriter(const AtomicFileWriter&) = delete;
  AtomicFileWriter& operator=(const AtomicFileWriter&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Bytes written so far.
  uint64_t size() const { return written_ + used_; }
  /// What was written so far outlives a power cut and this object, under the temporary name.
  void sync();
  void commit();

 private:
  void flush();

  std::string path_, temporary_;
  int fd_ = -1;
  bool left_ = false;  // what sync() promises
  uint64_t written_ = 0;
  size_t used_ = 0;
  std::string buffer_;
};

/// Appends to a log-like file (metrics.jsonl, event files): opened once, each append is one write
/// call. The file's name survives a power cut from the start, its bytes after sync(). Throws Error
/// on failure.
class AppendFile {
 public:
  explicit AppendFile(std::string path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  void append(std::string_view bytes);
  void sync();

 private:
  std::string path_;
  int fd_ = -1;
};

void write_file(const std::string& path, std::string_view text);
/// Whole file as a string; Error(kUsage) if it cannot be read.
std::string read_file(const std::string& path);
/// mkdir -p, synced; Error naming the folder that could not be made.
void make_directories(const std::string& path);
/// rm -rf, links not followed; false if something could not be removed.
bool remove_tree(const std::string& path);
/// fsync of a directory, so that renames within it survive a power cut.
void sync_directory(const std::string& path);
/// Renames within one folder, which is synced. Error if it cannot be done.
void rename_synced(const std::string& from, const std::string& to);
/// Renames a fully written temporary directory to its final name and syncs the parent.
void commit_directory(const std::string& temporary, const std::string& path);

}  // namespace switchyard
