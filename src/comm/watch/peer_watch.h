// Watch over the ranks of a run, beside whatever carries their data: a thread of each process tells
// rank 0 over TCP twice a second that it lives and how many collectives it has entered. So a rank
// that died, or a host that cannot be reached, is named within seconds, and a collective that does
// not end can say who did not come.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "base/clock.h"
#include "comm/watch/peer_board.h"

namespace switchyard {

struct WatchOptions {
  double beat_seconds = 0.5;   // between two signs of life
  double lost_seconds = 15.0;  // of silence, after which a rank counts as gone
  // After a failure the process ends itself after this time if it has not done so; 0: never.
  double grace_seconds = 10.0;
};

/// Thread-safe, but for leave(), which ends the watch.
class PeerWatch {
 public:
  virtual ~PeerWatch() = default;

  /// One more collective of `channel` begins here; its number, 1 = the first.
  uint64_t enter(int channel);
  /// What ended the run, once something has: "rank 3 (host, process 12) is gone: ...".
  std::optional<std::string> failure() const;
  /// The world ranks among `members` that have not entered collective `count` of `channel`, in
  /// words; "" if all have. Takes up to a second or two.
  virtual std::string missing(int channel, uint64_t count, std::span<const int> members) = 0;
  /// Tells all others that this process ends because of `what`.
  virtual void report_failure(const std::string& what) = 0;
  /// The end in order, after which nobody waits for this rank. All ranks call it; rank 0 waits a
  /// little for the others.
  virtual void leave() = 0;

 protected:
  explicit PeerWatch(const WatchOptions& options) : options_(options) {}

  ChannelCounts counts() const;
  /// The first failure stays.
  void set_failure(const std::string& text);
  void start(std::function<void()> turn);
  void stop();
  int beat_milliseconds() const { return static_cast<int>(options_.beat_seconds * 1e3); }

  const WatchOptions options_;

 private:
  void end_if_overdue() const;

  std::array<std::atomic<uint64_t>, kMaxChannels> entered_{};
  mutable std::mutex mutex_;
  std::optional<std::string> failure_;
  Clock::time_point failed_;
  std::atomic<bool> has_failure_ = false, stopping_ = false;
  std::thread thread_;
};

/// Rank 0's. `endpoint` gets what the others need to find it, a line of text.
std::unique_ptr<PeerWatch> lead_watch(int size, const WatchOptions& options, std::string& endpoint);

/// Of the others. Throws Error(kRuntime) if rank 0 cannot be reached.
std::unique_ptr<PeerWatch> follow_watch(int rank, const std::string& endpoint,
                                        const WatchOptions& options);

/// "host, process 12".
std::string process_identity();

}  // namespace switchyard
