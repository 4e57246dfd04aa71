// What the messages between watches hold.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/watch/peer_board.h"
#include "comm/watch/peer_socket.h"

namespace switchyard {

/// Where rank 0 listens.
struct WatchEndpoint {
  uint64_t token = 0;  // so that nobody else is taken for a rank
  uint16_t port = 0;
  std::vector<std::string> addresses;
};
std::string to_text(const WatchEndpoint& endpoint);
/// Throws Error(kRuntime).
WatchEndpoint parse_endpoint(const std::string& text);

struct WatchHello {
  int rank = -1;
  std::string identity;
};
std::string hello_body(uint64_t token, int rank, const std::string& identity);
/// Nothing unless it is a hello with that token.
std::optional<WatchHello> parse_hello(const PeerMessage& message, uint64_t token);

std::string counts_body(const ChannelCounts& counts);
/// Zeros where the body is too short.
ChannelCounts parse_counts(const std::string& body);

struct WatchQuestion {
  int channel = 0;
  uint64_t count = 0;
  std::vector<int> members;
};
std::string question_body(int channel, uint64_t count, std::span<const int> members);
std::optional<WatchQuestion> parse_question(const std::string& body);

}  // namespace switchyard
