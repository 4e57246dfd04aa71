#include "text/balanced_sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard {
namespace {

using ::testing::ElementsAre;
using Sizes = std::vector<uint64_t>;

TEST(BalancedSample, GoesByAPowerOfTheSize) {
  EXPECT_EQ(balanced_sizes({1000, 4000}, 1.0, 1u << 30), (Sizes{1000, 4000}));
  EXPECT_EQ(balanced_sizes({1000, 4000}, 0.0, 1u << 30), (Sizes{2500, 2500}));
  EXPECT_EQ(balanced_sizes({1000, 4000}, 0.5, 600), (Sizes{200, 400}));
}

TEST(BalancedSample, RepeatsLinesUpToTheSize) {
  EXPECT_THAT(repeat_lines({"ab", "cde"}, 11), ElementsAre("ab", "cde", "ab", "cde", "ab"));
  EXPECT_THAT(repeat_lines({"ab"}, 0), ElementsAre());
  EXPECT_THAT(repeat_lines({}, 5), ElementsAre());
  EXPECT_THAT(repeat_lines({""}, 2), ElementsAre("", ""));
}

}  // namespace
}  // namespace switchyard
