#include "comm/watch/peer_watch.h"

#include <unistd.h>

#include <array>
#include <cstdio>

#include "base/format.h"

namespace switchyard {

uint64_t PeerWatch::enter(int channel) { return ++entered_[static_cast<size_t>(channel)]; }

std::optional<std::string> PeerWatch::failure() const {
  if (!has_failure_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return failure_;
}

ChannelCounts PeerWatch::counts() const {
  ChannelCounts counts{};
  for (size_t i = 0; i < counts.size(); ++i) counts[i] = entered_[i];
  return counts;
}

void PeerWatch::set_failure(const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (failure_) return;
  failure_ = text;
  failed_ = Clock::now();
  has_failure_ = true;
}

void PeerWatch::start(std::function<void()> turn) {
  thread_ = std::thread([this, turn = std::move(turn)] {
    while (!stopping_) {
      turn();
      end_if_overdue();
    }
  });
}

void PeerWatch::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

// The main thread may be in the midst of anything: no destructors, no flushing of half-made files.
void PeerWatch::end_if_overdue() const {
  if (!has_failure_ || options_.grace_seconds <= 0) return;
  const std::lock_guard lock(mutex_);
  if (seconds_since(failed_) < options_.grace_seconds) return;
  std::fprintf(stderr, "switchyard: error: %s; the main thread did not end by itself\n",
               failure_->c_str());
  ::_exit(1);
}

std::string process_identity() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return format("{}, process {}", host.data(), ::getpid());
}

}  // namespace switchyard
