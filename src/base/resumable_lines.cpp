#include "base/resumable_lines.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace switchyard {

ResumableLines::ResumableLines(std::string path, const std::string& job)
    : path_(std::move(path)), partial_(path_ + ".partial-" + job) {
  std::error_code code;
  const std::filesystem::file_status status = std::filesystem::status(path_, code);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw usage_error("the output is not a file", path_,
                      "name one, or leave it out for standard output");
  }
  lock_fd_ = ::open(partial_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_fd_ < 0) throw system_failure("cannot create", path_, errno);
  if (::flock(lock_fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(std::exchange(lock_fd_, -1));
    throw usage_error("another process writes this file", path_,
                      "wait for it, or name another output");
  }
  left_ = MappedFile(partial_);
}

ResumableLines::~ResumableLines() {
  if (lock_fd_ < 0) return;
  std::error_code code;
  if (std::filesystem::file_size(partial_, code) == 0) remove_tree(partial_);
  ::close(lock_fd_);
}

std::optional<std::string_view> ResumableLines::next_kept() {
  const std::string_view rest = left_.text().substr(kept_bytes_);
  const size_t end = rest.find('\n');
  if (dropped_ || end == std::string_view::npos) return std::nullopt;
  last_bytes_ = end + 1;
  kept_bytes_ += last_bytes_;
  ++kept_;
  return rest.substr(0, end);
}

void ResumableLines::drop_last_kept() {
  kept_bytes_ -= last_bytes_;
  --kept_;
  dropped_ = true;
}

// Cuts off what is not kept.
void ResumableLines::begin_writing() {
  left_ = MappedFile();
  std::error_code code;
  std::filesystem::resize_file(partial_, kept_bytes_, code);
  if (code) throw system_failure("cannot write", path_, code.value());
  file_ = std::make_unique<AppendFile>(partial_);
}

void ResumableLines::write(std::string_view line) {
  if (!file_) begin_writing();
  file_->append(std::string(line) + "\n");
}

void ResumableLines::commit() {
  if (!file_) begin_writing();
  file_->sync();
  rename_synced(partial_, path_);
  ::close(std::exchange(lock_fd_, -1));
}

}  // namespace switchyard
