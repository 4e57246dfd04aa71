// Given targets through the decoder with caches, against the model as training runs it.
#include "infer/forced_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace switchyard {
namespace {

ModelConfig small() {
  ModelConfig config;
  config.d_model = 24;
  config.d_ff = 40;
  config.d_kv = 8;
  config.num_heads = 3;
  config.num_encoder_layers = config.num_decoder_layers = 2;
  config.vocab_size = 83;
  config.init_scale = 1.0;
  config.moe.num_experts = 4;
  config.moe.router_init_scale = 8.0;
  config.moe.capacity = "dropless";
  return config;
}

class ForcedLossTest : public ::testing::Test {
 protected:
  ForcedLossTest() : plain_(small(), Precision::kFloat32) {
    plain_.parameters().initialize(7);
    engine_.emplace(weights_of(plain_));
    const RandomStream random(3, kRandomTest);
    uint64_t draw = 0;
    const auto ids = [&](size_t length) {
      std::vector<int32_t> drawn;
      while (drawn.size() < length) {
        drawn.push_back(1 + static_cast<int32_t>(random.below(draw++, 82)));
      }
      return drawn;
    };
    for (const size_t length : {5, 1, 17, 5, 9})
      requests_.push_back({ids(length), ids(length % 7)});
  }

  EncoderDecoder plain_;
  std::optional<InferenceModel> engine_;
  std::vector<ScoreRequest> requests_;
};

TEST_F(ForcedLossTest, ScoresAreThoseOfTheModelWhateverTheBatch) {
  const std::vector<Score> expected = score(plain_, requests_, 1);
  for (const int64_t batch_size : {1, 2, 5}) {
    const std::vector<Score> scores = score(*engine_, requests_, batch_size);
    ASSERT_EQ(scores.size(), expected.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      ASSERT_EQ(scores[i].token_log_probs.size(), requests_[i].target.size());
      for (size_t t = 0; t < scores[i].token_log_probs.size(); ++t) {
        EXPECT_NEAR(scores[i].token_log_probs[t], expected[i].token_log_probs[t], 1e-4);
      }
    }
  }
}

TEST_F(ForcedLossTest, SumsCrossEntropyAndCountsWhatIsMostProbable) {
  std::vector<std::vector<int32_t>> inputs, targets;
  double sum = 0, count = 0;
  for (const ScoreRequest& request : requests_) {
    inputs.push_back(request.input);
    targets.push_back(request.target);
  }
  for (const Score& scored : score(*engine_, requests_, 5)) {
    sum -= scored.log_prob();
    count += static_cast<double>(scored.token_log_probs.size());
  }
  const ForcedLoss loss = forced_loss(*engine_, inputs, targets);
  EXPECT_EQ(loss.cross_entropy.count, count);
  EXPECT_NEAR(loss.cross_entropy.sum, sum, 1e-6);
  EXPECT_EQ(loss.correct.count, count);
  // A target that the model itself would write is right from end to end.
  int32_t best = 0;
  double highest = -INFINITY;
  for (int32_t id = 1; id < 83; ++id) {
    const double log_p = score(*engine_, {{inputs[0], {id}}}, 1)[0].log_prob();
    if (log_p > highest) best = id, highest = log_p;
  }
  const double padding = score(*engine_, {{inputs[0], {0}}}, 1)[0].log_prob();
  EXPECT_EQ(forced_loss(*engine_, {inputs[0]}, {{best}}).correct.sum, highest > padding ? 1 : 0);
  EXPECT_EQ(forced_loss(*engine_, {inputs[0]}, {{best == 5 ? 6 : 5}}).correct.sum, 0);
}

}  // namespace
}  // namespace switchyard
