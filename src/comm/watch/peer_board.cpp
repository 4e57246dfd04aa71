#include "comm/watch/peer_board.h"

#include <algorithm>

#include "base/format.h"

namespace switchyard {

PeerBoard::PeerBoard(int size, Clock::time_point now) : peers_(static_cast<size_t>(size)) {
  for (Peer& peer : peers_) peer.heard = now;
}

void PeerBoard::introduce(int rank, const std::string& identity, Clock::time_point now) {
  Peer& peer = peers_[static_cast<size_t>(rank)];
  peer.identity = identity;
  peer.heard = now;
}

void PeerBoard::hear(int rank, const ChannelCounts& counts, Clock::time_point now) {
  Peer& peer = peers_[static_cast<size_t>(rank)];
  peer.counts = counts;
  peer.heard = now;
}

void PeerBoard::leave(int rank) { peers_[static_cast<size_t>(rank)].left = true; }

bool PeerBoard::all_have_left() const {
  return std::all_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.left; });
}

std::string PeerBoard::name(int rank) const {
  const std::string& identity = peers_[static_cast<size_t>(rank)].identity;
  return identity.empty() ? format("rank {}", rank) : format("rank {} ({})", rank, identity);
}

int PeerBoard::silent_rank(Clock::time_point now, double seconds) const {
  for (size_t rank = 0; rank < peers_.size(); ++rank) {
    const std::chrono::duration<double> silence = now - peers_[rank].heard;
    if (!peers_[rank].left && silence.count() > seconds) return static_cast<int>(rank);
  }
  return -1;
}

std::string PeerBoard::missing(int channel, uint64_t count, std::span<const int> members) const {
  constexpr size_t kShown = 4;
  std::vector<int> late;
  for (const int rank : members) {
    const uint64_t entered = peers_[static_cast<size_t>(rank)].counts[static_cast<size_t>(channel)];
    if (entered < count) late.push_back(rank);
  }
  std::string text;
  for (size_t i = 0; i < std::min(late.size(), kShown); ++i) {
    if (i > 0) text += i + 1 == late.size() ? " and " : ", ";
    text += name(late[i]);
  }
  if (late.size() > kShown) text += format(" and {} more", late.size() - kShown);
  return text;
}

}  // namespace switchyard
