// What rank 0 knows of all ranks: when each was last heard of, and how many collectives of each
// group it has entered. A plain value; no clock, no sockets.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"

namespace switchyard {

constexpr int kMaxChannels = 16;  // groups of ranks that one process is in
/// Collectives entered so far, by channel.
using ChannelCounts = std::array<uint64_t, kMaxChannels>;

class PeerBoard {
 public:
  PeerBoard(int size, Clock::time_point now);

  bool knows(int rank) const { return rank >= 0 && rank < static_cast<int>(peers_.size()); }
  /// Rank `rank` runs as `identity` ("host, process 12").
  void introduce(int rank, const std::string& identity, Clock::time_point now);
  void hear(int rank, const ChannelCounts& counts, Clock::time_point now);
  /// It ended in order: nobody waits for it.
  void leave(int rank);
  bool has_left(int rank) const { return peers_[static_cast<size_t>(rank)].left; }
  bool all_have_left() const;

  /// "rank 3 (host, process 12)".
  std::string name(int rank) const;
  /// The first rank that was not heard of for more than `seconds`, or -1.
  int silent_rank(Clock::time_point now, double seconds) const;
  /// The members that have entered fewer than `count` collectives of `channel`: "rank 1 (...) and
  /// rank 3 (...)", the first few by name; "" if all have.
  std::string missing(int channel, uint64_t count, std::span<const int> members) const;

 private:
  struct Peer {
    std::string identity;
    Clock::time_point heard;
    ChannelCounts counts{};
    bool left = false;
  };
  std::vector<Peer> peers_;
};

}  // namespace switchyard
