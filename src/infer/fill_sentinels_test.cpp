#include "infer/fill_sentinels.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(FillSentinels, PutsSpansInPlace) {
  // 99 and 98 are the first two sentinels, 90 the lowest.
  EXPECT_EQ(fill_sentinels({3, 99, 4, 98, 5}, {99, 10, 11, 98, 12}, 90),
            (std::vector<int32_t>{3, 10, 11, 4, 12, 5}));
  EXPECT_EQ(fill_sentinels({3, 99, 4, 98}, {99}, 90), (std::vector<int32_t>{3, 4, 98}));
}

TEST(FillSentinels, WhatComesBeforeTheFirstSentinelBelongsNowhere) {
  EXPECT_EQ(fill_sentinels({3, 99}, {7, 8, 99, 10}, 90), (std::vector<int32_t>{3, 10}));
}

}  // namespace
}  // namespace switchyard
