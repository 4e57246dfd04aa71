#include "base/file_faults.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <map>
#include <utility>

#include "base/error.h"

namespace switchyard {
namespace {

const std::map<std::string, FaultKind>& kinds() {
  static const std::map<std::string, FaultKind> names = {
      {"enospc", FaultKind::kDiskFull},          {"eio", FaultKind::kInputOutput},
      {"short", FaultKind::kShortWrite},         {"crash-before", FaultKind::kCrashBefore},
      {"crash-within", FaultKind::kCrashWithin}, {"crash-after", FaultKind::kCrashAfter}};
  return names;
}

}  // namespace

FileFault parse_file_fault(const std::string& text) {
  const size_t at = text.find('@');
  const auto kind = kinds().find(text.substr(0, at));
  if (at != text.npos && kind != kinds().end()) {
    FileFault fault{kind->second, 0, ""};
    const char* const end = text.data() + std::min(text.find(':', at), text.size());
    const auto number = std::from_chars(text.data() + at + 1, end, fault.at);
    if (*end == ':') fault.part = end + 1;
    if (number.ec == std::errc() && number.ptr == end && fault.at > 0) return fault;
  }
  throw usage_error("not a file fault", text,
                    "KIND@N or KIND@N:PART with KIND enospc, eio, short, crash-before, "
                    "crash-within or crash-after and N from 1");
}

FileFaults::FileFaults(FileFault fault, Crash crash) : fault_(std::move(fault)), crash_(crash) {
  set_file_hook(this);
}

FileFaults::~FileFaults() { set_file_hook(nullptr); }

int64_t FileFaults::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

bool FileFaults::has_struck() const {
  const std::lock_guard lock(mutex_);
  return struck_;
}

int FileFaults::crash() {
  if (crash_ == Crash::kKill) std::raise(SIGKILL);
  dead_ = true;
  return EIO;
}

int FileFaults::before(FileCall call, const std::string& path, size_t& bytes) {
  const std::lock_guard lock(mutex_);
  if (dead_) return EIO;
  if (cut_ && path == cut_path_) {
    cut_ = false;
    return fault_.kind == FaultKind::kCrashWithin ? crash() : ENOSPC;
  }
  if (path.find(fault_.part) == path.npos || ++calls_ != fault_.at) return 0;
  const bool can_cut = call == FileCall::kWrite && bytes > 1;
  switch (fault_.kind) {
    case FaultKind::kDiskFull:
    case FaultKind::kInputOutput:
      struck_ = true;
      return fault_.kind == FaultKind::kDiskFull ? ENOSPC : EIO;
    case FaultKind::kShortWrite:
    case FaultKind::kCrashWithin:
      struck_ = cut_ = can_cut;
      if (can_cut) bytes /= 2;
      cut_path_ = path;
      return 0;
    case FaultKind::kCrashBefore:
      struck_ = true;
      return crash();
    case FaultKind::kCrashAfter:
      struck_ = true;
      return 0;
  }
  return 0;
}

void FileFaults::after(FileCall, const std::string& path) {
  const std::lock_guard lock(mutex_);
  const bool counted = path.find(fault_.part) != path.npos;
  if (fault_.kind == FaultKind::kCrashAfter && counted && calls_ == fault_.at) crash();
}

}  // namespace switchyard
