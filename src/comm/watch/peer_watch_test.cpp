#include "comm/watch/peer_watch.h"

#include <gtest/gtest.h>

#include <vector>

#include "comm/watch/peer_socket.h"
#include "comm/watch/wire.h"
#include "tests/error_of.h"

namespace switchyard {
namespace {

WatchOptions quick(double lost_seconds = 60) {
  WatchOptions options;
  options.beat_seconds = 0.02;
  options.lost_seconds = lost_seconds;
  options.grace_seconds = 0;
  return options;
}

/// What ended the run, as soon as `watch` knows.
std::string failure_of(const PeerWatch& watch) {
  const Clock::time_point start = Clock::now();
  while (seconds_since(start) < 30) {
    if (const auto failure = watch.failure()) return *failure;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return "";
}

struct ThreeRanks {
  explicit ThreeRanks(const WatchOptions& options = quick()) {
    std::string endpoint;
    ranks.push_back(lead_watch(3, options, endpoint));
    for (const int rank : {1, 2}) ranks.push_back(follow_watch(rank, endpoint, options));
  }
  std::vector<std::unique_ptr<PeerWatch>> ranks;
};

TEST(PeerWatchTest, SaysWhoDidNotEnterACollective) {
  ThreeRanks three;
  for (const int rank : {0, 2}) three.ranks[static_cast<size_t>(rank)]->enter(1);
  const std::vector<int> members = {0, 1, 2};
  std::string missing;
  const Clock::time_point start = Clock::now();
  do {  // counts come with the next beat
    missing = three.ranks[2]->missing(1, 1, members);
  } while (missing.find(" and ") != std::string::npos && seconds_since(start) < 30);
  EXPECT_EQ(missing, "rank 1 (" + process_identity() + ")");
  EXPECT_EQ(three.ranks[0]->missing(1, 1, members), missing);
  three.ranks[1]->enter(1);
  EXPECT_EQ(three.ranks[1]->missing(1, 1, members), "");
  for (auto& watch : three.ranks) EXPECT_FALSE(watch->failure());
}

TEST(PeerWatchTest, TheEndOfARankIsKnownToAll) {
  ThreeRanks three;
  three.ranks[1].reset();
  for (const int rank : {0, 2}) {
    const std::string failure = failure_of(*three.ranks[static_cast<size_t>(rank)]);
    EXPECT_EQ(failure.find("rank 1 ("), 0U) << failure;
    EXPECT_NE(failure.find("is gone: its process ended"), std::string::npos) << failure;
  }
}

TEST(PeerWatchTest, TheEndOfRankZeroIsKnownToAll) {
  ThreeRanks three;
  three.ranks[0].reset();
  for (const int rank : {1, 2}) {
    EXPECT_EQ(failure_of(*three.ranks[static_cast<size_t>(rank)]),
              "rank 0 is gone: its process ended");
  }
}

TEST(PeerWatchTest, AnErrorOfOneRankReachesAll) {
  for (const size_t failing : {0, 1}) {
    ThreeRanks three;
    three.ranks[failing]->report_failure("disk full");
    const std::string failure = failure_of(*three.ranks[2]);
    EXPECT_NE(failure.find(failing == 0 ? "rank 0 (" : "rank 1 ("), std::string::npos) << failure;
    EXPECT_NE(failure.find("ended: disk full"), std::string::npos) << failure;
  }
}

TEST(PeerWatchTest, ASilentRankIsNamed) {
  std::string endpoint;
  const auto leader = lead_watch(2, quick(0.3), endpoint);
  const WatchEndpoint place = parse_endpoint(endpoint);
  PeerSocket mute(connect_to("127.0.0.1", place.port, 5));
  mute.send(PeerMessageKind::kHello, hello_body(place.token, 1, "far, process 3"));
  const std::string failure = failure_of(*leader);
  EXPECT_EQ(failure.find("rank 1 (far, process 3) is gone: not heard of for 0.3 s"), 0U) << failure;
}

TEST(PeerWatchTest, LeavingInOrderIsNoFailure) {
  ThreeRanks three;
  std::vector<std::thread> threads;
  for (auto& watch : three.ranks) threads.emplace_back([&watch] { watch->leave(); });
  for (std::thread& thread : threads) thread.join();
  for (auto& watch : three.ranks) EXPECT_FALSE(watch->failure()) << *watch->failure();
}

TEST(PeerWatchTest, StrangersAreTurnedAway) {
  std::string endpoint;
  const auto leader = lead_watch(2, quick(), endpoint);
  WatchEndpoint place = parse_endpoint(endpoint);
  ++place.token;
  place.addresses = {"127.0.0.1"};
  const std::string error =
      testing::error_of([&] { follow_watch(1, to_text(place), quick()); }).what();
  EXPECT_NE(error.find("rank 0 cannot be reached"), std::string::npos) << error;
  EXPECT_FALSE(leader->failure());
}

}  // namespace
}  // namespace switchyard
