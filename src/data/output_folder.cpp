#include "data/output_folder.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "data/manifest.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTemporaryMark = ".tmp-";

/// Prepared data and nothing else: only such a folder may be replaced.
bool is_prepared_output(const std::string& path) {
  bool found = false;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (name != "train" && name != "validation") return false;
    if (!fs::exists(entry.path() / Manifest::kFileName)) return false;
    found = true;
  }
  return found;
}

void check_place(const std::string& path, bool overwrite) {
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status)) {
    throw usage_error("the output is a file", path, "name a folder that does not exist yet");
  }
  // A renamed folder cannot take the place of another disk: better said before the work than after.
  struct stat own {
  }, around{};
  if (::stat(path.c_str(), &own) == 0 && ::stat((path + "/..").c_str(), &around) == 0 &&
      (own.st_dev != around.st_dev || own.st_ino == around.st_ino)) {
    throw usage_error("the output is the root of a disk", path, "name a new folder in it");
  }
  if (fs::is_empty(path, code)) return;
  if (code) throw system_failure("cannot read the folder", path, code.value());
  if (!is_prepared_output(path)) {
    throw usage_error("the output folder holds other files", path, "name a new or an empty folder");
  }
  if (!overwrite) {
    throw usage_error("the output folder holds prepared data already", path,
                      "add --overwrite to replace it, or name another folder");
  }
}

/// A temporary folder of the same place.
struct Leftover {
  std::string path;
  bool gone;  // no other process has its number; in a container the one before may have had ours
};

std::vector<Leftover> find_leftovers(const fs::path& place) {
  const std::string mark = place.filename().string() + kTemporaryMark;
  std::error_code code;
  std::vector<Leftover> leftovers;
  const fs::path parent = place.has_parent_path() ? place.parent_path() : fs::path(".");
  for (fs::directory_iterator at(parent, code), end; !code && at != end; at.increment(code)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with(mark)) continue;
    const std::string number = name.substr(mark.size());
    if (number.empty() || number.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto process = static_cast<pid_t>(std::atoll(number.c_str()));
    if (process <= 0) continue;
    const bool gone = process == ::getpid() || (::kill(process, 0) != 0 && errno == ESRCH);
    leftovers.push_back({at->path(), gone});
  }
  return leftovers;
}

}  // namespace

OutputFolder::Lock::Lock(const std::string& folder) {
  fd_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // File systems without locks leave the process's number to go by.
  if (fd_ >= 0 && ::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(std::exchange(fd_, -1));
  }
}

OutputFolder::Lock::~Lock() {
  if (fd_ >= 0) ::close(fd_);
}

OutputFolder::OutputFolder(const std::string& path, bool overwrite,
                           const std::function<bool(const std::string&)>& can_continue) {
  // The place itself, so that ".", "a/.." and links are renamed as what they stand for.
  std::error_code code;
  fs::path place = fs::weakly_canonical(path, code);
  if (code) throw system_failure("cannot make the folder", path, code.value());
  if (!place.has_filename()) place = place.parent_path();  // a slash at the end
  path_ = place.string();
  check_place(path_, overwrite);
  temporary_ = path_ + kTemporaryMark + std::to_string(::getpid());
  std::string taken;
  for (const auto& [left, gone] : find_leftovers(path_)) {
    Lock lock(left);
    if (!lock.held() && left == temporary_) {  // of another container's process of our number
      throw usage_error("another process prepares this output", path_, "wait for it");
    }
    if (!lock.held()) continue;
    if (taken.empty() && can_continue && can_continue(left)) {
      taken = left;
      lock_ = std::move(lock);
    } else if (gone) {
      log_info("removing what an interrupted run left: {}", left);
      remove_tree(left);
    }
  }
  if (!taken.empty()) {
    if (taken != temporary_) rename_synced(taken, temporary_);
    continued_ = true;
    return;
  }
  try {
    make_directories(temporary_);
    lock_ = Lock(temporary_);
  } catch (const Error& error) {
    throw Error(error.kind(), error.what_part(), path_, error.hint_part());
  }
}

void OutputFolder::start_anew() {
  remove_tree(temporary_);
  make_directories(temporary_);
  lock_ = Lock(temporary_);
  continued_ = false;
}

OutputFolder::~OutputFolder() {
  std::error_code code;
  if (!kept_) fs::remove_all(temporary_, code);
}

void OutputFolder::commit() {
  std::error_code code;
  if (fs::exists(path_, code) && !fs::is_empty(path_, code)) {
    sync_directory(temporary_);
    // Swaps the two folders in one step; the old data is then the temporary folder.
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) == 0) {
      fs::remove_all(temporary_, code);
      kept_ = true;
      return;
    }
    fs::remove_all(path_, code);  // a file system that cannot swap
    if (code) throw system_failure("cannot replace", path_, code.value());
  }
  commit_directory(temporary_, path_);
  kept_ = true;
}

}  // namespace switchyard
