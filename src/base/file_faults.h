// One fault at one file call, for tests of what a failure at any moment leaves behind.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "base/file_calls.h"

namespace switchyard {

enum class FaultKind {
  kDiskFull,     // "enospc": the call fails
  kInputOutput,  // "eio": the call fails
  kShortWrite,   // "short": half of a write, then ENOSPC; other calls are left alone
  kCrashBefore,  // "crash-before": the process ends instead of making the call
  kCrashWithin,  // "crash-within": ... after half of a write; other calls are left alone
  kCrashAfter,   // "crash-after": ... right after the call
};

struct FileFault {
  FaultKind kind = FaultKind::kDiskFull;
  int64_t at = 1;    // the call that it strikes, 1 = the first
  std::string part;  // counted are calls on paths that contain this; "": all
};

/// "KIND@N" or "KIND@N:PART", e.g. "enospc@3:checkpoints/". Throws Error(kUsage).
FileFault parse_file_fault(const std::string& text);

/// The hook of the process as long as it lives. Thread-safe.
class FileFaults : public FileHook {
 public:
  /// What a crash is: SIGKILL, or a pretence: from then on every call fails with EIO and does
  /// nothing, so that the disk stays as the crash found it.
  enum class Crash { kKill, kPretend };

  explicit FileFaults(FileFault fault, Crash crash = Crash::kPretend);
  ~FileFaults() override;
  FileFaults(const FileFaults&) = delete;
  FileFaults& operator=(const FileFaults&) = delete;

  /// Calls counted so far.
  int64_t calls() const;
  bool has_struck() const;

  int before(FileCall call, const std::string& path, size_t& bytes) override;
  void after(FileCall call, const std::string& path) override;

 private:
  int crash();

  const FileFault fault_;
  const Crash crash_;
  mutable std::mutex mutex_;
  int64_t calls_ = 0;
  bool struck_ = false, dead_ = false;
  bool cut_ = false;  // half of a write is done, what comes next on its path fails
  std::string cut_path_;
};

}  // namespace switchyard
