#include "model/counts.h"

#include <gtest/gtest.h>

#include "model/encoder_decoder.h"
#include "model/parameter_set.h"

namespace switchyard {
namespace {

// Shapes of the released models, vocabulary 32128.
ModelConfig shape(int64_t d_model, int64_t d_ff, int64_t heads, int64_t layers, int64_t experts,
                  const char* feed_forward = "relu", bool tied = true) {
  ModelConfig config;
  config.d_model = d_model;
  config.d_ff = d_ff;
  config.d_kv = 64;
  config.num_heads = heads;
  config.num_encoder_layers = config.num_decoder_layers = layers;
  config.vocab_size = 32128;
  config.feed_forward = feed_forward;
  config.tie_embeddings = tied;
  config.moe.num_experts = experts;
  return config;
}

ModelConfig base(int64_t experts) { return shape(768, 3072, 12, 12, experts); }

TEST(Counts, ParametersOfThePaper) {
  EXPECT_EQ(count_parameters(base(8)), 619339008);
  EXPECT_EQ(count_parameters(base(16)), 1072397568);
  const struct {
    ModelConfig config;
    double millions, tolerance;
  } models[] = {
      {base(0), 222.90, 0.005},
      {shape(768, 2048, 12, 12, 0, "geglu"), 222.90, 0.005},
      {base(2), 279.5, 0.05},
      {base(4), 392.8, 0.05},
      {base(32), 1979, 0.5},
      {base(64), 3791, 0.5},
      {base(128), 7415, 0.5},
      {base(256), 14664, 0.5},
      {shape(1024, 4096, 16, 24, 0), 737.67, 0.005},
      {shape(1024, 2816, 16, 24, 0, "geglu"), 750.25, 0.005},
      {shape(4096, 10240, 64, 24, 0, "geglu", false), 11135, 0.5},
      {shape(1024, 4096, 16, 24, 128), 26310, 5},
      {shape(1024, 2816, 16, 24, 128, "geglu"), 27120, 5},
      {shape(4096, 10240, 64, 24, 64, "geglu", false), 201400, 50},
      {shape(4096, 10240, 64, 24, 128, "geglu", false), 394700, 50},
  };
  for (const auto& model : models) {
    EXPECT_NEAR(static_cast<double>(count_parameters(model.config)) * 1e-6, model.millions,
                model.tolerance);
  }
}

TEST(Counts, SwitchC) {
  for (const auto& [heads, billions] : {std::pair{32, 1571.4}, {30, 1571.3}}) {
    ModelConfig config = shape(2080, 6144, heads, 15, 2048, "relu", false);
    config.moe.sparse_every = 1;
    EXPECT_NEAR(static_cast<double>(count_parameters(config)) * 1e-9, billions, 0.05);
  }
}

TEST(Counts, AgreeWithTheModelItself) {
  for (const int64_t experts : {0, 8}) {
    for (const char* feed_forward : {"relu", "geglu"}) {
      for (const bool tied : {true, false}) {
        const ModelConfig config = shape(768, 2048, 12, 3, experts, feed_forward, tied);
        EncoderDecoder model(config, Precision::kFloat32, at::kMeta);
        EXPECT_EQ(count_parameters(config), model.parameters().numel());
      }
    }
  }
}

TEST(Counts, AttentionExpertsAgreeWithTheModelItself) {
  for (const char* attention : {"linear", "feed_forward"}) {
    for (const char* router : {"switch", "hash"}) {
      ModelConfig config = shape(96, 160, 3, 4, 5, "geglu");
      config.moe.router = router;
      config.moe.attention_experts = attention;
      config.moe.attention_encoder_layers = "0,2,3";
      config.moe.attention_d_ff = std::string(attention) == "linear" ? 0 : 70;
      EncoderDecoder model(config, Precision::kFloat32, at::kMeta);
      EXPECT_EQ(count_parameters(config), model.parameters().numel());
    }
  }
}

TEST(Counts, AttentionExpertsOfBase) {
  const int64_t d = 768, inner = 768, hidden = 3072;
  ModelConfig config = base(32);
  config.moe.attention_experts = "feed_forward";
  // Six blocks of each stack: q, k and v give way to 32 experts and their router.
  const int64_t expert = d * hidden + hidden * 2 * inner;
  EXPECT_EQ(count_parameters(config),
            count_parameters(base(32)) + 12 * (32 * expert + 32 * d - 3 * d * inner));
  const double tokens = 6 * 512 + 6 * 114;
  EXPECT_EQ(forward_flops(config, 512, 114) - forward_flops(base(32), 512, 114),
            tokens * 2.0 * static_cast<double>(expert - 3 * d * inner));
  config.moe.attention_experts = "linear";  // keys are values: one projection less
  EXPECT_EQ(forward_flops(config, 512, 114) - forward_flops(base(32), 512, 114),
            tokens * -2.0 * static_cast<double>(d * inner));
}

TEST(Counts, DroppedTokensSaveTheExpertOfTheirLayer) {
  ModelConfig config = base(8);
  config.moe.attention_experts = "linear";
  RoutingStats feed_forward, attention;
  feed_forward.layer = "encoder.1";
  feed_forward.dropped = 3;
  attention.layer = "encoder.1.attention";
  attention.dropped = 5;
  EXPECT_EQ(dropped_flops(config, {feed_forward, attention}),
            3.0 * 4 * 768 * 3072 + 5.0 * 4 * 768 * 768);
}

TEST(Counts, RoutersThatGiveATokenSeveralExpertsCostMore) {
  ModelConfig config = base(8);
  const double tokens = 6 * 512 + 6 * 114, expert = 4.0 * 768 * 3072;
  const double one = forward_flops(config, 512, 114);
  config.moe.router = "top2";
  config.moe.capacity_factor_train = 1.25;
  EXPECT_EQ(forward_flops(config, 512, 114) - one, tokens * expert / 4);
  config.moe.capacity = "dropless";
  EXPECT_EQ(forward_flops(config, 512, 114) - one, tokens * expert);
  RoutingStats layer;
  layer.layer = "encoder.1";
  layer.dropped = 3;
  EXPECT_EQ(dropped_flops(config, {layer}), 3 * 2 * expert);
  config.moe.router = "expert_choice";
  config.moe.capacity_factor_train = 1.5;
  EXPECT_EQ(forward_flops(config, 512, 114) - one, tokens * expert / 2);
  EXPECT_EQ(dropped_flops(config, {layer}), 0);
}

// Forward pass of one sequence, 512 in and 114 out (paper table 9).
TEST(Counts, FlopsOfThePaper) {
  EXPECT_NEAR(forward_flops(base(8), 512, 114), 124.6e9, 0.05e9);
  EXPECT_NEAR(forward_flops(shape(1024, 4096, 16, 24, 128), 512, 114), 424.9e9, 0.05e9);
  EXPECT_NEAR(forward_flops(shape(1024, 2816, 16, 24, 0, "geglu"), 512, 114), 432.8e9, 0.05e9);
  EXPECT_NEAR(forward_flops(shape(4096, 10240, 64, 24, 64, "geglu", false), 512, 114), 6.26e12,
              0.005e12);
}

}  // namespace
}  // namespace switchyard
