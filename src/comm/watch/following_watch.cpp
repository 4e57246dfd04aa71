// The watch of every rank but 0.
#include <poll.h>

#include <algorithm>
#include <condition_variable>
#include <vector>

#include "base/error.h"
#include "base/format.h"
#include "comm/watch/peer_socket.h"
#include "comm/watch/peer_watch.h"
#include "comm/watch/wire.h"

namespace switchyard {
namespace {

constexpr double kPatience = 5;  // seconds for a connection, or an answer

class FollowingWatch : public PeerWatch {
 public:
  FollowingWatch(std::unique_ptr<PeerSocket> socket, const WatchOptions& options)
      : PeerWatch(options), socket_(std::move(socket)), heard_(Clock::now()) {
    start([this] { turn(); });
  }
  ~FollowingWatch() override { stop(); }

  std::string missing(int channel, uint64_t count, std::span<const int> members) override {
    // What the others count reaches rank 0 by their next beat.
    std::unique_lock lock(mutex_);
    answer_.reset();
    socket_->send(PeerMessageKind::kBeat, counts_body(counts()));
    socket_->send(PeerMessageKind::kQuestion, question_body(channel, count, members));
    answered_.wait_for(lock, std::chrono::duration<double>(kPatience),
                       [this] { return answer_.has_value(); });
    return answer_.value_or("rank 0, whose watch does not answer,");
  }

  void report_failure(const std::string& what) override {
    if (failure()) return;
    socket_->send(PeerMessageKind::kFailure, what);
    set_failure(what);
  }

  void leave() override {
    socket_->send(PeerMessageKind::kLeave, "");
    stop();
  }

 private:
  void turn() {
    pollfd ready{socket_->descriptor(), POLLIN, 0};
    ::poll(&ready, 1, open_ ? std::min(beat_milliseconds(), 50) : 0);
    if (!open_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      return;
    }
    std::vector<PeerMessage> messages;
    open_ = socket_->receive(messages);
    if (!messages.empty()) heard_ = Clock::now();
    for (const PeerMessage& message : messages) take(message);
    if (!open_) set_failure("rank 0 is gone: " + socket_->reason());
    if (seconds_since(heard_) > options_.lost_seconds) {
      set_failure(
          format("rank 0 is gone: not heard of for {:.3g} s (stopped, or its host cannot be "
                 "reached)",
                 options_.lost_seconds));
    }
    if (seconds_since(last_beat_) < options_.beat_seconds) return;
    last_beat_ = Clock::now();
    socket_->send(PeerMessageKind::kBeat, counts_body(counts()));
  }

  void take(const PeerMessage& message) {
    if (message.kind == PeerMessageKind::kFailure) set_failure(message.body);
    if (message.kind != PeerMessageKind::kAnswer) return;
    const std::lock_guard lock(mutex_);
    answer_ = message.body;
    answered_.notify_all();
  }

  const std::unique_ptr<PeerSocket> socket_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::optional<std::string> answer_;
  // Of the thread.
  bool open_ = true;
  Clock::time_point heard_, last_beat_;
};

// Whatever listens at that port may be another program: only rank 0 answers a hello.
bool greets(PeerSocket& socket, const std::string& hello) {
  if (!socket.send(PeerMessageKind::kHello, hello)) return false;
  pollfd ready{socket.descriptor(), POLLIN, 0};
  if (::poll(&ready, 1, static_cast<int>(kPatience * 1e3)) != 1) return false;
  std::vector<PeerMessage> messages;
  return socket.receive(messages) && !messages.empty();
}

}  // namespace

std::unique_ptr<PeerWatch> follow_watch(int rank, const std::string& endpoint,
                                        const WatchOptions& options) {
  const WatchEndpoint place = parse_endpoint(endpoint);
  const std::string hello = hello_body(place.token, rank, process_identity());
  std::string tried;
  for (const std::string& address : place.addresses) {
    const int descriptor = connect_to(address, place.port, kPatience);
    if (descriptor >= 0) {
      auto socket = std::make_unique<PeerSocket>(descriptor);
      if (greets(*socket, hello)) {
        return std::make_unique<FollowingWatch>(std::move(socket), options);
      }
    }
    tried += (tried.empty() ? "" : ", ") + address;
  }
  throw runtime_failure(format("rank 0 cannot be reached at port {} of {}", place.port, tried),
                        format("rank {}", rank),
                        "ranks must reach each other by TCP at any port: see to the firewall");
}

}  // namespace switchyard
