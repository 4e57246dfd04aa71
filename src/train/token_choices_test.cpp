#include "train/token_choices.h"

#include <gtest/gtest.h>

#include <map>

#include "model/encoder_decoder.h"

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
  const auto encoder = choices.characteristic("encoder.1", 8);
  ASSERT_EQ(encoder.size(), 2);
  ASSERT_EQ(encoder[0].size(), 1);
  EXPECT_EQ(encoder[0][0].id, 5);
  EXPECT_DOUBLE_EQ(encoder[0][0].share, 1.0);
  EXPECT_DOUBLE_EQ(encoder[0][0].of_id, 2.0 / 3);
  // A third of 5 comes to expert 1, less than its share of all tokens: that does not tell of it.
  ASSERT_EQ(encoder[1].size(), 1);
  EXPECT_EQ(encoder[1][0].id, 6);
  EXPECT_DOUBLE_EQ(encoder[1][0].share, 0.5);
  EXPECT_DOUBLE_EQ(encoder[1][0].of_id, 1.0);
  const auto decoder = choices.characteristic("decoder.1", 8);
  EXPECT_EQ(decoder[0].at(0).id, 7);
  EXPECT_EQ(decoder[1].at(0).id, 0);
}

TEST_F(TokenChoicesTest, TokensWithoutAnExpertDoNotCount) {
  TokenChoices choices;
  choices.add(batch_, {routed("encoder.1", {0, -1, 1, -1})});
  EXPECT_DOUBLE_EQ(choices.characteristic("encoder.1", 8)[0].at(0).of_id, 1.0);
}

TEST_F(TokenChoicesTest, PartsAddUpAndTheMostTellingComeFirst) {
  TokenChoices one, all;
  one.add(batch_, {routed("encoder.1", {0, 0, 1, 0})});
  for (int i = 0; i < 3; ++i) all += one;
  const Batch other = make_batch(at::tensor({9, 9, 6, 6}, at::kLong).view({1, 4}),
                                 at::tensor({7, 8}, at::kLong).view({1, 2}));
  all.add(other, {routed("encoder.1", {0, 1, 1, 1})});
  const auto tokens = all.characteristic("encoder.1", 1);
  EXPECT_EQ(tokens[0].size(), 1) << "no more than were asked for";
  EXPECT_EQ(tokens[0][0].id, 5);
  EXPECT_DOUBLE_EQ(tokens[0][0].share, 0.9);
  EXPECT_EQ(tokens[1].at(0).id, 6);
}

// A hash router sends every occurrence of an id to one expert: so must what is counted.
TEST(TokenChoices, OfAModelAreItsOwn) {
  ModelConfig config;
  config.d_model = 16;
  config.d_ff = 32;
  config.d_kv = 8;
  config.num_heads = 2;
  config.num_encoder_layers = config.num_decoder_layers = 2;
  config.vocab_size = 64;
  config.moe.num_experts = 4;
  config.moe.router = "hash";
  config.moe.hash = "plain";
  config.moe.exploration = "argmax";
  config.moe.balance_loss = 0;
  EncoderDecoder model(config, Precision::kFloat32);
  model.parameters().initialize(1);
  const Batch batch = make_batch(at::arange(1, 49, at::kLong).remainder(17).add(1).view({3, 16}),
                                 at::arange(1, 25, at::kLong).remainder(7).add(20).view({3, 8}));
  ForwardOptions options;
  const c10::NoGradGuard no_grad;
  EXPECT_FALSE(model.forward(batch, options).routing.front().choices.defined());
  options.keep_choices = true;
  TokenChoices choices;
  choices.add(batch, model.forward(batch, options).routing);
  for (const auto& [layer, ids] : {std::pair("encoder.1", batch.encoder_ids),
                                   std::pair("decoder.1", batch.decoder_input_ids)}) {
    std::map<int64_t, size_t> expert_of;
    const auto tokens = choices.characteristic(layer, 64);
    for (size_t e = 0; e < tokens.size(); ++e) {
      for (const ExpertToken& token : tokens[e]) {
        EXPECT_DOUBLE_EQ(token.of_id, 1.0) << layer << " " << token.id;
        EXPECT_TRUE(expert_of.emplace(token.id, e).second) << layer << " " << token.id;
      }
    }
    const at::Tensor distinct = std::get<0>(at::_unique(ids));
    EXPECT_EQ(expert_of.size(), static_cast<size_t>(distinct.numel())) << layer;
  }
}

TEST(TokenChoices, NothingIsKnownWhereNothingWasKept) {
  TokenChoices choices;
  RoutingStats stats = routed("encoder.1", {0});
  stats.choices = at::Tensor();
  choices.add(make_batch(at::ones({1, 1}, at::kLong), at::ones({1, 1}, at::kLong)), {stats});
  EXPECT_TRUE(choices.empty());
  EXPECT_TRUE(choices.characteristic("encoder.1", 8).empty());
}

}  // namespace
}  // namespace switchyard
