#include "infer/greedy.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

ModelConfig tiny(const std::string& attention_experts = "none") {
  ModelConfig config;
  config.d_model = 16;
  config.d_ff = 32;
  config.d_kv = 8;
  config.num_heads = 2;
  config.num_encoder_layers = 2;
  config.num_decoder_layers = 2;
  config.vocab_size = 40;
  config.init_scale = 1.0;
  config.moe.num_experts = 3;
  config.moe.capacity_factor_eval = 3;  // nothing is dropped
  config.moe.attention_experts = attention_experts;
  return config;
}

std::vector<Generation> decode(EncoderDecoder& model,
                               const std::vector<std::vector<int32_t>>& inputs,
                               int64_t max_new_tokens) {
  ModelStepDecoder decoder(model, inputs);
  return greedy_decode(decoder, max_new_tokens);
}

class GreedyDecodeModels : public ::testing::TestWithParam<const char*> {};

TEST_P(GreedyDecodeModels, AgreesWithTeacherForcing) {
  EncoderDecoder model(tiny(GetParam()), Precision::kFloat32);
  model.parameters().initialize(2);
  const std::vector<int32_t> input = {5, 6, 7, 8, 1};
  const Generation made = decode(model, {input}, 6)[0];
  ASSERT_FALSE(made.ids.empty());
  // Each id is the argmax given the ones before it, and the log-probabilities add up.
  const c10::NoGradGuard no_grad;
  std::vector<int64_t> targets(made.ids.begin(), made.ids.end());
  if (made.finished) targets.push_back(1);
  const at::Tensor encoder =
      at::tensor(std::vector<int64_t>(input.begin(), input.end())).unsqueeze(0);
  const Batch batch = make_batch(encoder, at::tensor(targets).unsqueeze(0));
  const at::Tensor log_p =
      at::log_softmax(model.logits(model.decode(batch, model.encode(batch, {}), {})), -1)[0];
  double sum = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    EXPECT_EQ(log_p[at].argmax().item<int64_t>(), targets[i]);
    sum += log_p[at][targets[i]].item<double>();
  }
  EXPECT_NEAR(made.log_prob, sum, 1e-4);
}

TEST_P(GreedyDecodeModels, PaddingOfABatchChangesNothing) {
  EncoderDecoder model(tiny(GetParam()), Precision::kFloat32);
  model.parameters().initialize(2);
  const std::vector<int32_t> brief = {9, 1}, lengthy = {5, 6, 7, 8, 11, 12, 1};
  const auto together = decode(model, {brief, lengthy}, 5);
  EXPECT_EQ(together[0].ids, decode(model, {brief}, 5)[0].ids);
  EXPECT_EQ(together[1].ids, decode(model, {lengthy}, 5)[0].ids);
}

INSTANTIATE_TEST_SUITE_P(AttentionExperts, GreedyDecodeModels,
                         ::testing::Values("none", "linear", "feed_forward"));

}  // namespace
}  // namespace switchyard
