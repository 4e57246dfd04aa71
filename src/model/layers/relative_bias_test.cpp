// Relative position bias against F9 (flaxformer's published table and outputs) and T5's setting.
#include "model/layers/relative_bias.h"

#include <gtest/gtest.h>

#include "tests/gradient_check.h"

namespace switchyard {
namespace {

TEST(RelativeBucket, MatchesF9Bidirectional) {
  const int64_t expected[5][7] = {{0, 7, 8, 9, 9, 10, 10},
                                  {1, 0, 7, 8, 9, 9, 10},
                                  {2, 1, 0, 7, 8, 9, 9},
                                  {3, 2, 1, 0, 7, 8, 9},
                                  {3, 3, 2, 1, 0, 7, 8}};
  for (int64_t i = 0; i < 5; ++i) {
    for (int64_t j = 0; j < 7; ++j) EXPECT_EQ(relative_bucket(j - i, true, 12, 10), expected[i][j]);
  }
}

TEST(RelativeBucket, MatchesF9Causal) {
  for (int64_t i = 0; i < 5; ++i) {
    for (int64_t j = 0; j < 7; ++j) {
      EXPECT_EQ(relative_bucket(j - i, false, 12, 10), std::max<int64_t>(i - j, 0));
    }
  }
}

TEST(RelativeBucket, MatchesT5sSetting) {
  const std::pair<int64_t, int64_t> both[] = {{-200, 15}, {-64, 14}, {-20, 10}, {-8, 8},
                                              {-1, 1},    {0, 0},    {1, 17},   {8, 24},
                                              {16, 26},   {64, 30},  {100, 31}};
  for (const auto& [offset, bucket] : both)
    EXPECT_EQ(relative_bucket(offset, true, 32, 128), bucket);
  const std::pair<int64_t, int64_t> causal[] = {{-200, 31}, {-100, 30}, {-64, 26}, {-20, 17},
                                                {-16, 16},  {-15, 15},  {0, 0},    {5, 0}};
  for (const auto& [offset, bucket] : causal)
    EXPECT_EQ(relative_bucket(offset, false, 32, 128), bucket);
  // First distance of each logarithmic bucket.
  const int64_t encoder[] = {8, 12, 16, 23, 32, 46, 64, 91};
  for (int64_t b = 0; b < 8; ++b) {
    EXPECT_EQ(relative_bucket(-encoder[b], true, 32, 128), 8 + b);
    EXPECT_EQ(relative_bucket(-encoder[b] + 1, true, 32, 128), 7 + b);
  }
  const int64_t decoder[] = {16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113};
  for (int64_t b = 0; b < 16; ++b) EXPECT_EQ(relative_bucket(-decoder[b], false, 32, 128), 16 + b);
}

Parameter f9_table() {
  const double heads[3][12] = {{-.109404, -.085357, -.263045, .209039, .362572, .227687, -.180388,
                                .240214, -.048054, .236347, .685514, .26397},
                               {-.18996, -.220874, .34266, -.174915, .560604, -.009007, .120688,
                                -.029185, .273604, .033743, -.319719, .000404},
                               {.366049, -.480305, -.26612, .211157, .343464, -.231365, -.134005,
                                -.417708, -.317982, -.303572, .068347, .064782}};
  const at::Tensor table = at::empty({12, 3}, at::kDouble);
  for (int64_t h = 0; h < 3; ++h) {
    for (int64_t b = 0; b < 12; ++b) table[b][h] = heads[h][b];
  }
  return Parameter("table", table, {});
}

TEST(RelativeOffsetBias, MatchesF9) {
  Parameter table = f9_table();
  const auto bias = [&](const at::Tensor& offsets, int64_t h, int64_t q, int64_t k) {
    return offsets[h][k - q + 4].item<double>();
  };
  const at::Tensor both = relative_offset_bias(table, 5, 7, true, 10);
  EXPECT_NEAR(bias(both, 0, 0, 0), -.10940, 1e-5);
  EXPECT_NEAR(bias(both, 1, 2, 1), -.22087, 1e-5);
  EXPECT_NEAR(bias(both, 1, 4, 6), .27360, 1e-5);
  EXPECT_NEAR(bias(both, 2, 4, 6), -.31798, 1e-5);
  const at::Tensor causal = relative_offset_bias(table, 5, 7, false, 10);
  EXPECT_NEAR(bias(causal, 1, 4, 6), -.18996, 1e-5);
  EXPECT_NEAR(bias(causal, 2, 4, 6), .3660492, 1e-5);
}

TEST(RelativeOffsetBias, GradientMatchesFiniteDifferences) {
  Parameter table = f9_table();
  const at::Tensor weight = testing::random_tensor({3, 11}, 5);
  const auto loss = [&] {
    return (relative_offset_bias(table, 5, 7, true, 10).square() * weight).sum();
  };
  loss().backward();
  testing::expect_gradient(
      "table", table.value(), table.gradient(), [&] { return loss().item<double>(); }, 36);
}

}  // namespace
}  // namespace switchyard
