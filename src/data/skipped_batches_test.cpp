#include "data/skipped_batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/random.h"

namespace switchyard {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(SkippedBatches, NothingIsLeftOutAtFirst) {
  const SkippedBatches none;
  EXPECT_EQ(none.nth(0), 0u);
  EXPECT_EQ(none.nth(1000), 1000u);
}

TEST(SkippedBatches, RangesThatTouchBecomeOne) {
  SkippedBatches skipped;
  skipped.add(10, 12);
  skipped.add(5, 5);
  skipped.add(2, 4);
  skipped.add(4, 6);
  skipped.add(11, 15);
  EXPECT_THAT(skipped.ranges(), ElementsAre(Pair(2, 6), Pair(10, 15)));
  SkippedBatches more;
  more.add(0, 3);
  more.add(skipped);
  EXPECT_THAT(more.ranges(), ElementsAre(Pair(0, 6), Pair(10, 15)));
}

// Against counting one by one. What lies beyond a position does not move what came before it: that
// is what keeps a continued run on its data.
TEST(SkippedBatches, NthIsTheNthOfTheOthers) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const RandomStream random(seed, kRandomTest);
    SkippedBatches skipped;
    std::set<uint64_t> out;
    for (uint64_t k = 0; k < 6; ++k) {
      const uint64_t begin = random.below(2 * k, 60), end = begin + random.below(2 * k + 1, 9);
      skipped.add(begin, end);
      for (uint64_t i = begin; i < end; ++i) out.insert(i);
    }
    uint64_t n = 0;
    for (uint64_t i = 0; i < 80; ++i) {
      if (out.count(i)) continue;
      ASSERT_EQ(skipped.nth(n++), i) << seed;
    }
    SkippedBatches later = skipped;
    later.add(skipped.nth(20), skipped.nth(20) + 7);
    for (uint64_t i = 0; i < 20; ++i) ASSERT_EQ(later.nth(i), skipped.nth(i));
    ASSERT_GT(later.nth(20), skipped.nth(20));
  }
}

}  // namespace
}  // namespace switchyard
