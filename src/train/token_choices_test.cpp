#include "train/token_choices.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

RoutingStats routed(const std::string& layer, const std::vector<int64_t>& choices) {
  RoutingStats stats;
  stats.layer = layer;
  stats.load.assign(2, 0.0);
  stats.choices = at::tensor(choices, at::kLong);
  return stats;
}

class TokenChoicesTest : public ::testing::Test {
 protected:
  // Ids 5 and 6 are read by the encoder; the decoder reads 0 and 7.
  Batch batch_ = make_batch(at::tensor({5, 5, 6, 5}, at::kLong).view({1, 4}),
                            at::tensor({7, 8}, at::kLong).view({1, 2}));
};

TEST_F(TokenChoicesTest, CountsEncoderAndDecoderIds) {
  TokenChoices choices;
  choices.add(batch_, {routed("encoder.1", {0, 0, 1, 1}), routed("decoder.1", {1, 0})});
  ASSERT_EQ(choices.num_layers(), 2);
  EXPECT_EQ(choices.layer(0), "encoder.1");
  const auto encoder = choices.characteristic(0, 8);
  ASSERT_EQ(encoder.size(), 2);
  ASSERT_EQ(encoder[0].size(), 1);
  EXPECT_EQ(encoder[0][0].id, 5);
  EXPECT_DOUBLE_EQ(encoder[0][0].share, 1.0);
  EXPECT_DOUBLE_EQ(encoder[0][0].kept, 2.0 / 3);
  // A third of 5 comes to expert 1, less than its share of all tokens: that does not tell of it.
  ASSERT_EQ(encoder[1].size(), 1);
  EXPECT_EQ(encoder[1][0].id, 6);
  EXPECT_DOUBLE_EQ(encoder[1][0].share, 0.5);
  EXPECT_DOUBLE_EQ(encoder[1][0].kept, 1.0);
  const auto decoder = choices.characteristic(1, 8);
  EXPECT_EQ(decoder[0].at(0).id, 7);
  EXPECT_EQ(decoder[1].at(0).id, 0);
}

TEST_F(TokenChoicesTest, TokensWithoutAnExpertDoNotCount) {
  TokenChoices choices;
  choices.add(batch_, {routed("encoder.1", {0, -1, 1, -1})});
  EXPECT_DOUBLE_EQ(choices.characteristic(0, 8)[0].at(0).kept, 1.0);
}

TEST_F(TokenChoicesTest, PartsAddUpAndTheMostTellingComeFirst) {
  TokenChoices one, all;
  one.add(batch_, {routed("encoder.1", {0, 0, 1, 0})});
  for (int i = 0; i < 3; ++i) all += one;
  const Batch other = make_batch(at::tensor({9, 9, 6, 6}, at::kLong).view({1, 4}),
                                 at::tensor({7, 8}, at::kLong).view({1, 2}));
  all.add(other, {routed("encoder.1", {0, 1, 1, 1})});
  const auto tokens = all.characteristic(0, 1);
  EXPECT_EQ(tokens[0].size(), 1) << "no more than were asked for";
  EXPECT_EQ(tokens[0][0].id, 5);
  EXPECT_DOUBLE_EQ(tokens[0][0].share, 0.9);
  EXPECT_EQ(tokens[1].at(0).id, 6);
}

TEST(TokenChoices, NothingIsKnownWhereNothingWasKept) {
  TokenChoices choices;
  RoutingStats stats = routed("encoder.1", {0});
  stats.choices = at::Tensor();
  choices.add(make_batch(at::ones({1, 1}, at::kLong), at::ones({1, 1}, at::kLong)), {stats});
  EXPECT_EQ(choices.num_layers(), 0);
}

}  // namespace
}  // namespace switchyard
