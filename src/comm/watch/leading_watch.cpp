// The watch of rank 0, to which all others connect.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "base/format.h"
#include "comm/watch/peer_socket.h"
#include "comm/watch/peer_watch.h"
#include "comm/watch/wire.h"

namespace switchyard {
namespace {

struct Connection {
  explicit Connection(int descriptor) : socket(descriptor) {}
  PeerSocket socket;
  int rank = -1;  // until it has said who it is
};

class LeadingWatch : public PeerWatch {
 public:
  LeadingWatch(int size, const WatchOptions& options)
      : PeerWatch(options), token_(std::random_device()()), board_(size, Clock::now()) {
    board_.introduce(0, process_identity(), Clock::now());
    start([this] { turn(); });
  }
  ~LeadingWatch() override { stop(); }

  std::string endpoint() const { return to_text({token_, listener_.port(), own_addresses()}); }

  std::string missing(int channel, uint64_t count, std::span<const int> members) override {
    const std::lock_guard lock(mutex_);
    board_.hear(0, counts(), Clock::now());
    return board_.missing(channel, count, members);
  }

  void report_failure(const std::string& what) override {
    const std::lock_guard lock(mutex_);
    fail(format("{} ended: {}", board_.name(0), what));
  }

  void leave() override {
    constexpr double kPatience = 5;
    const Clock::time_point start = Clock::now();
    {
      const std::lock_guard lock(mutex_);
      board_.leave(0);
    }
    while (!all_have_left() && seconds_since(start) < kPatience) ::usleep(1000);
    stop();
  }

 private:
  bool all_have_left() {
    const std::lock_guard lock(mutex_);
    return board_.all_have_left();
  }

  // Everything below with the lock held, but for waiting in poll().
  void turn() {
    std::vector<pollfd> sockets = {{listener_.descriptor(), POLLIN, 0}};
    {
      const std::lock_guard lock(mutex_);
      for (const auto& connection : connections_) {
        sockets.push_back({connection->socket.descriptor(), POLLIN, 0});
      }
    }
    ::poll(sockets.data(), sockets.size(), std::min(beat_milliseconds(), 50));
    const std::lock_guard lock(mutex_);
    for (int found = listener_.accept(); found >= 0; found = listener_.accept()) {
      connections_.push_back(std::make_unique<Connection>(found));
    }
    std::erase_if(connections_, [this](const auto& connection) { return !serve(*connection); });
    if (seconds_since(last_beat_) < options_.beat_seconds) return;
    last_beat_ = Clock::now();
    board_.hear(0, counts(), last_beat_);
    const std::optional<std::string> failed = failure();
    for (const auto& connection : connections_) {
      connection->socket.send(failed ? PeerMessageKind::kFailure : PeerMessageKind::kBeat,
                              failed.value_or(""));
    }
    if (const int silent = board_.silent_rank(last_beat_, options_.lost_seconds); silent >= 0) {
      fail(format("{} is gone: not heard of for {:.3g} s (stopped, or its host cannot be reached)",
                  board_.name(silent), options_.lost_seconds));
    }
  }

  // False once the connection is of no more use.
  bool serve(Connection& connection) {
    std::vector<PeerMessage> messages;
    const bool open = connection.socket.receive(messages);
    for (const PeerMessage& message : messages) {
      if (!answer(connection, message)) return false;
    }
    if (open) return true;
    if (connection.rank > 0 && !board_.has_left(connection.rank)) {
      fail(format("{} is gone: {}", board_.name(connection.rank), connection.socket.reason()));
    }
    return false;
  }

  bool answer(Connection& connection, const PeerMessage& message) {
    const Clock::time_point now = Clock::now();
    if (connection.rank < 0) {
      const auto hello = parse_hello(message, token_);
      if (!hello || !board_.knows(hello->rank)) return false;  // not one of ours
      connection.rank = hello->rank;
      board_.introduce(hello->rank, hello->identity, now);
      connection.socket.send(PeerMessageKind::kBeat, "");
      return true;
    }
    switch (message.kind) {
      case PeerMessageKind::kBeat:
        board_.hear(connection.rank, parse_counts(message.body), now);
        break;
      case PeerMessageKind::kLeave:
        board_.leave(connection.rank);
        break;
      case PeerMessageKind::kFailure:
        fail(format("{} ended: {}", board_.name(connection.rank), message.body));
        board_.leave(connection.rank);
        break;
      case PeerMessageKind::kQuestion:
        if (const auto question = parse_question(message.body)) {
          connection.socket.send(
              PeerMessageKind::kAnswer,
              board_.missing(question->channel, question->count, question->members));
        }
        break;
      default:
        return false;
    }
    return true;
  }

  void fail(const std::string& text) {
    if (failure()) return;
    set_failure(text);
    for (const auto& connection : connections_) {
      connection->socket.send(PeerMessageKind::kFailure, text);
    }
  }

  const uint64_t token_;
  PeerListener listener_;
  std::mutex mutex_;
  PeerBoard board_;
  std::vector<std::unique_ptr<Connection>> connections_;
  Clock::time_point last_beat_;
};

}  // namespace

std::unique_ptr<PeerWatch> lead_watch(int size, const WatchOptions& options,
                                      std::string& endpoint) {
  auto watch = std::make_unique<LeadingWatch>(size, options);
  endpoint = watch->endpoint();
  return watch;
}

}  // namespace switchyard
