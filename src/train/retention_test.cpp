#include "train/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::vector<CheckpointFacts> kRun = {{10, -5.0}, {20, -4.0}, {25, {}},  {30, -4.5},
                                           {40, -4.0}, {50, -6.0}, {60, -6.0}};

TEST(Retention, NewestOnes) {
  EXPECT_THAT(superfluous_checkpoints(kRun, {.newest = 2}), ElementsAre(10, 20, 25, 30, 40));
  EXPECT_THAT(superfluous_checkpoints(kRun, {.newest = 7}), IsEmpty());
  EXPECT_THAT(superfluous_checkpoints(kRun, {.newest = 100}), IsEmpty());
  EXPECT_THAT(superfluous_checkpoints(kRun, {.newest = 0, .every = 7}), IsEmpty());
  EXPECT_THAT(superfluous_checkpoints({}, {.newest = 1}), IsEmpty());
}

TEST(Retention, EveryNth) {
  EXPECT_THAT(superfluous_checkpoints(kRun, {.newest = 1, .every = 20}),
              ElementsAre(10, 25, 30, 50));
}

TEST(Retention, BestOnes) {
  EXPECT_THAT(superfluous_checkpoints(kRun, {.newest = 1, .best = 1}),
              ElementsAre(10, 25, 30, 40, 50));
  EXPECT_THAT(superfluous_checkpoints(kRun, {.newest = 1, .best = 3}), ElementsAre(10, 25, 50));
  EXPECT_THAT(superfluous_checkpoints(kRun, {.newest = 1, .every = 50, .best = 2}),
              ElementsAre(10, 25, 30));
  EXPECT_THAT(superfluous_checkpoints({{1, {}}, {2, {}}}, {.newest = 1, .best = 5}),
              ElementsAre(1));
}

}  // namespace
}  // namespace switchyard
