#include "comm/watch/wire.h"

#include <cstring>
#include <sstream>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {

std::string to_text(const WatchEndpoint& endpoint) {
  std::string text = format("{} {}", endpoint.token, endpoint.port);
  for (const std::string& address : endpoint.addresses) text += " " + address;
  return text;
}

WatchEndpoint parse_endpoint(const std::string& text) {
  WatchEndpoint endpoint;
  std::istringstream words(text);
  words >> endpoint.token >> endpoint.port;
  if (!words) throw runtime_failure("unsound address of rank 0's watch", text);
  for (std::string address; words >> address;) endpoint.addresses.push_back(address);
  return endpoint;
}

std::string hello_body(uint64_t token, int rank, const std::string& identity) {
  return format("{} {} {}", token, rank, identity);
}

std::optional<WatchHello> parse_hello(const PeerMessage& message, uint64_t token) {
  if (message.kind != PeerMessageKind::kHello) return std::nullopt;
  std::istringstream words(message.body);
  uint64_t theirs = 0;
  WatchHello hello;
  words >> theirs >> hello.rank;
  if (!words || theirs != token) return std::nullopt;
  words.ignore();
  std::getline(words, hello.identity);
  return hello;
}

std::string counts_body(const ChannelCounts& counts) {
  return {reinterpret_cast<const char*>(counts.data()), sizeof counts};
}

ChannelCounts parse_counts(const std::string& body) {
  ChannelCounts counts{};
  if (body.size() == sizeof counts) std::memcpy(counts.data(), body.data(), sizeof counts);
  return counts;
}

std::string question_body(int channel, uint64_t count, std::span<const int> members) {
  std::string text = format("{} {}", channel, count);
  for (const int rank : members) text += format(" {}", rank);
  return text;
}

std::optional<WatchQuestion> parse_question(const std::string& body) {
  std::istringstream words(body);
  WatchQuestion question;
  words >> question.channel >> question.count;
  if (!words || question.channel < 0 || question.channel >= kMaxChannels) return std::nullopt;
  for (int rank = 0; words >> rank;) question.members.push_back(rank);
  return question;
}

}  // namespace switchyard
