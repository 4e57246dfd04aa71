#include "infer/score.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace switchyard {
namespace {

ModelConfig tiny() {
  ModelConfig config;
  config.d_model = 12;
  config.d_ff = 10;
  config.d_kv = 4;
  config.num_heads = 2;
  config.num_encoder_layers = 2;
  config.num_decoder_layers = 2;
  config.vocab_size = 23;
  config.moe.num_experts = 3;
  config.moe.capacity_factor_eval = 3.0;  // nobody is dropped
  return config;
}

std::vector<ScoreRequest> requests(size_t count) {
  const RandomStream random(8, kRandomTest);
  uint64_t draw = 0;
  std::vector<ScoreRequest> all(count);
  for (ScoreRequest& request : all) {
    request.input.resize(1 + random.below(draw++, 9));
    request.target.resize(1 + random.below(draw++, 6));
    for (int32_t& id : request.input) id = 1 + static_cast<int32_t>(random.below(draw++, 22));
    for (int32_t& id : request.target) id = 1 + static_cast<int32_t>(random.below(draw++, 22));
  }
  return all;
}

TEST(Score, BatchesAndPaddingChangeNothing) {
  EncoderDecoder model(tiny(), Precision::kFloat32);
  model.parameters().initialize(4);
  const auto all = requests(17);
  const std::vector<Score> single = score(model, all, 1);
  for (const int64_t batch_size : {4, 100}) {
    const std::vector<Score> batched = score(model, all, batch_size);
    for (size_t i = 0; i < all.size(); ++i) {
      ASSERT_EQ(batched[i].token_log_probs.size(), all[i].target.size());
      for (size_t t = 0; t < all[i].target.size(); ++t) {
        EXPECT_NEAR(batched[i].token_log_probs[t], single[i].token_log_probs[t], 1e-5);
      }
    }
  }
}

TEST(Score, SumsToTheLossOfTheModel) {
  EncoderDecoder model(tiny(), Precision::kFloat32);
  model.parameters().initialize(4);
  for (const ScoreRequest& request : requests(3)) {
    const auto row = [](const std::vector<int32_t>& ids) {
      return at::tensor(std::vector<int64_t>(ids.begin(), ids.end())).unsqueeze(0);
    };
    const ModelOutput output =
        model.forward(make_batch(row(request.input), row(request.target)), {});
    EXPECT_NEAR(score(model, {request}, 1)[0].log_prob(), -output.cross_entropy.sum, 1e-4);
  }
}

}  // namespace
}  // namespace switchyard
