// A file of lines that takes long to make: what was written stays if the process is cut off, and
// the next one that makes the same file goes on behind it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/files.h"

namespace switchyard {

/// Until commit() the lines are in `path`.partial-<job>. Not thread-safe; two processes cannot have
/// the same one open.
class ResumableLines {
 public:
  /// `job`: letters and digits that stand for everything that decides the lines, save what the
  /// caller checks in those that were kept. Throws Error(kUsage) if another process writes this
  /// file or `path` is a folder or a device, Error(kRuntime) if it cannot be made there.
  ResumableLines(std::string path, const std::string& job);
  /// Leaves what was written, unless that is nothing.
  ~ResumableLines();
  ResumableLines(const ResumableLines&) = delete;
  ResumableLines& operator=(const ResumableLines&) = delete;

  /// Before the first write(): the next line that an earlier process left; nothing behind the last
  /// whole one. Valid until the first write().
  std::optional<std::string_view> next_kept();
  /// Gives up the line that next_kept() gave last, and those behind it.
  void drop_last_kept();
  /// Lines that next_kept() has given, without dropped ones.
  uint64_t kept() const { return kept_; }
  void write(std::string_view line);
  /// Where the lines are until commit().
  const std::string& partial_path() const { return partial_; }
  /// Syncs and gives the file its name.
  void commit();

 private:
  void begin_writing();

  std::string path_, partial_;
  int lock_fd_ = -1;
  MappedFile left_;
  size_t kept_bytes_ = 0, last_bytes_ = 0;
  uint64_t kept_ = 0;
  bool dropped_ = false;
  std::unique_ptr<AppendFile> file_;
};

}  // namespace switchyard
