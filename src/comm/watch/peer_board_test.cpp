#include "comm/watch/peer_board.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

using std::chrono::seconds;

ChannelCounts counts(uint64_t first, uint64_t second) {
  ChannelCounts counts{};
  counts[0] = first;
  counts[1] = second;
  return counts;
}

TEST(PeerBoardTest, NamesMembersThatDidNotEnterACollective) {
  const Clock::time_point now = Clock::now();
  PeerBoard board(4, now);
  board.introduce(2, "b, process 7", now);
  board.hear(0, counts(5, 1), now);
  board.hear(1, counts(5, 1), now);
  board.hear(2, counts(4, 9), now);
  const std::vector<int> all = {0, 1, 2, 3};
  EXPECT_EQ(board.missing(0, 5, all), "rank 2 (b, process 7) and rank 3");
  EXPECT_EQ(board.missing(0, 4, all), "rank 3");
  EXPECT_EQ(board.missing(1, 2, all), "rank 0, rank 1 and rank 3");
  EXPECT_EQ(board.missing(0, 5, std::vector<int>{0, 1}), "");
}

TEST(PeerBoardTest, ASilentRankIsFoundUnlessItHasLeft) {
  const Clock::time_point start = Clock::now();
  PeerBoard board(3, start);
  for (const int rank : {0, 1}) board.hear(rank, counts(0, 0), start + seconds(10));
  EXPECT_EQ(board.silent_rank(start + seconds(4), 5), -1);
  EXPECT_EQ(board.silent_rank(start + seconds(12), 5), 2);
  board.leave(2);
  EXPECT_EQ(board.silent_rank(start + seconds(12), 5), -1);
  EXPECT_FALSE(board.all_have_left());
}

}  // namespace
}  // namespace switchyard
