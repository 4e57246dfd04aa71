#include "train/time_limit.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(TimeLimit, NoneIsNeverReached) {
  TimeLimit limit(0, 1e9);
  limit.add_step(1e9);
  EXPECT_FALSE(limit.reached(true, 1e12));
}

TEST(TimeLimit, LeavesTimeForAStepAndACheckpoint) {
  TimeLimit limit(1.0, 0);  // 60 s
  EXPECT_FALSE(limit.reached(false, 59.9));
  EXPECT_TRUE(limit.reached(false, 60));
  limit.add_step(2);
  EXPECT_FALSE(limit.reached(false, 60 - 1.5 * 2 - 0.1));
  EXPECT_TRUE(limit.reached(false, 60 - 1.5 * 2 + 0.1));
  limit.add_save(10);
  EXPECT_FALSE(limit.reached(false, 60 - 1.5 * 12 - 0.1));
  EXPECT_TRUE(limit.reached(false, 60 - 1.5 * 12 + 0.1));
}

TEST(TimeLimit, GuessesACheckpointUntilOneWasTimed) {
  TimeLimit limit(1.0, 20);
  EXPECT_TRUE(limit.reached(false, 31));
  limit.add_save(1);
  EXPECT_FALSE(limit.reached(false, 31));
}

TEST(TimeLimit, ACheckpointOnItsWayIsWaitedFor) {
  TimeLimit limit(1.0, 10);
  limit.begin_save();
  EXPECT_FALSE(limit.reached(false, 29));
  EXPECT_TRUE(limit.reached(false, 31));
  limit.add_save(10);
  EXPECT_FALSE(limit.reached(false, 44));
  EXPECT_TRUE(limit.reached(false, 46));
}

TEST(TimeLimit, AnEvaluationCountsWhereOneIsDue) {
  TimeLimit limit(1.0, 0);
  limit.add_evaluation(20);
  EXPECT_FALSE(limit.reached(false, 40));
  EXPECT_TRUE(limit.reached(true, 40));
}

TEST(TimeLimit, ASlowStepIsRemembered) {
  TimeLimit limit(1.0, 0);
  limit.add_step(20);
  limit.add_step(1);
  EXPECT_TRUE(limit.reached(false, 60 - 1.5 * 19));
  for (int i = 0; i < 100; ++i) limit.add_step(1);
  EXPECT_FALSE(limit.reached(false, 55));
}

TEST(TimeLimit, ClockRuns) {
  const TimeLimit limit(1e-6, 0);  // 60 us
  while (!limit.reached(false)) {
  }
  SUCCEED();
}

}  // namespace
}  // namespace switchyard
