// Switch in self-attention against dense attention, a reference in plain LibTorch and finite
// differences.
#include "model/moe/attention_experts.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/layers/relative_bias.h"
#include "ops/parameter_bridge.h"
#include "tests/gradient_check.h"

namespace switchyard {
namespace {

/// Keys 16 wide: the query's scale, 1/4, is exact.
ModelConfig layer_config(const std::string& kind, int64_t experts) {
  ModelConfig config;
  config.d_model = 24;
  config.d_ff = 40;
  config.d_kv = 16;
  config.num_heads = 2;
  config.init_scale = 1.0;
  config.moe.num_experts = experts;
  config.moe.attention_experts = kind;
  return config;
}

at::Tensor input(int64_t sequences, int64_t length, at::ScalarType type = at::kFloat) {
  return testing::random_tensor({sequences, length, 24}, 3, type);
}

AttentionLayer::Masking masking(int64_t length, bool causal, at::Tensor segments = {},
                                at::ScalarType type = at::kFloat) {
  return {testing::random_tensor({2, 2 * length - 1}, 9).to(type), causal, segments, segments};
}

TEST(AttentionExperts, OneLinearExpertIsDenseAttentionBitForBit) {
  ModelConfig config = layer_config("linear", 1);
  config.moe.capacity_factor_eval = 1.0;
  ParameterSet routed(at::kCPU, Precision::kFloat32), plain(at::kCPU, Precision::kFloat32);
  const AttentionExperts experts(routed, "m", "encoder.0", config);
  const AttentionLayer dense(plain, "d", config);
  routed.initialize(1);
  const c10::NoGradGuard no_grad;
  const auto both = routed.find("m.experts.qkv.weight")->value()[0].chunk(2, 0);
  plain.find("d.q.weight")->value().copy_(both[0] / 4);
  plain.find("d.k.weight")->value().copy_(both[1]);
  plain.find("d.v.weight")->value().copy_(both[1]);
  plain.find("d.o.weight")->value().copy_(routed.find("m.o.weight")->value());
  const at::Tensor x = input(4, 33);
  for (const bool causal : {false, true}) {
    const MoeOutput output = experts.forward({x, {}, 0, false, 1, 0}, masking(33, causal));
    EXPECT_EQ(output.stats.dropped, 0);
    EXPECT_TRUE(at::equal(output.y, dense.forward(x, x, masking(33, causal))));
  }
}

/// Appendix A with one-hot selection over all experts, softmax over a full score matrix: the
/// token's gate and whether it was kept come from the plan, all else from the weights.
at::Tensor reference(const ModelConfig& config, ParameterSet& parameters, const at::Tensor& x,
                     const RoutingPlan& plan, const AttentionLayer::Masking& mask) {
  const int64_t b = x.size(0), s = x.size(1), heads = config.num_heads;
  const at::Tensor chosen = at::where(plan.kept, plan.expert, plan.expert.new_zeros({}));
  const at::Tensor weight =
      at::one_hot(chosen, config.moe.num_experts).to(x.scalar_type()) *
      (plan.kept.to(x.scalar_type()) * plan.gate.to(x.scalar_type())).unsqueeze(-1);  // [T, K, E]
  at::Tensor hidden =
      at::einsum("td,e->etd", {x.reshape({b * s, -1}), x.new_ones({weight.size(2)})});
  if (config.attention_hidden() > 0) {
    hidden = at::bmm(hidden, parameters.find("m.experts.wi.weight")->compute().transpose(1, 2));
    if (config.gated()) {
      const auto halves = hidden.chunk(2, -1);
      hidden = at::gelu(halves[0], "tanh") * halves[1];
    } else {
      hidden = at::relu(hidden);
    }
  }
  const at::Tensor all =
      at::bmm(hidden, parameters.find("m.experts.qkv.weight")->compute().transpose(1, 2));
  const at::Tensor qkv = at::einsum("tke,eto->to", {weight, all}).view({b, s, 2, heads, -1});
  const at::Tensor q = qkv.select(2, 0).transpose(1, 2) / std::sqrt(double(config.d_kv));
  const at::Tensor kv = qkv.select(2, 1).transpose(1, 2);  // [B, H, S, K]
  at::Tensor scores = at::matmul(q, kv.transpose(2, 3));
  for (int64_t i = 0; i < s; ++i) {
    scores.select(2, i) += mask.offset_bias.narrow(1, s - 1 - i, s).unsqueeze(0);
  }
  at::Tensor hide = at::zeros({b, 1, s, s}, at::kBool);
  if (mask.causal) hide = hide | at::ones({s, s}, at::kBool).triu(1);
  if (mask.key_segments.defined()) {
    hide = hide | mask.query_segments.unsqueeze(2).ne(mask.key_segments.unsqueeze(1)).unsqueeze(1);
  }
  const at::Tensor p = at::softmax(scores.masked_fill(hide, -1e30), -1);
  return at::matmul(at::matmul(p, kv).transpose(1, 2).reshape({b, s, -1}),
                    parameters.find("m.o.weight")->compute().t());
}

struct Case {
  const char* kind;
  const char* feed_forward;
  const char* router;
  double capacity;
  bool causal;
};
class AttentionExpertCases : public ::testing::TestWithParam<Case> {
 protected:
  static ModelConfig config() {
    ModelConfig config = layer_config(GetParam().kind, 4);
    config.feed_forward = GetParam().feed_forward;
    config.moe.router = GetParam().router;
    config.moe.second_choice = "all";
    config.moe.min_capacity = 1;
    config.moe.capacity_factor_train = config.moe.capacity_factor_eval = GetParam().capacity;
    config.moe.attention_d_ff = 20;
    return config;
  }
};

TEST_P(AttentionExpertCases, EqualsTheReference) {
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  const AttentionExperts layer(parameters, "m", "encoder.0", config());
  parameters.initialize(1);
  const c10::NoGradGuard no_grad;
  const at::Tensor x = input(3, 17);
  at::Tensor segments = at::ones({3, 17}, at::kLong);
  segments[1].narrow(0, 11, 6).zero_();
  const MoeInput in{x, segments, 0, false, 1, 0};
  const AttentionLayer::Masking mask = masking(17, GetParam().causal, segments);
  const MoeOutput output = layer.forward(in, mask);
  EXPECT_TRUE(GetParam().capacity >= 1 || output.stats.dropped > 0);
  EXPECT_EQ(output.stats.layer, "encoder.0.attention");
  EXPECT_EQ(output.stats.tokens, 45);
  const at::Tensor expected = reference(config(), parameters, x, output.plan, mask);
  const at::Tensor real = segments.gt(0);
  const at::Tensor difference = (output.y - expected).index({real});
  EXPECT_LE(difference.abs().max().item<double>(), 1e-5 * expected.abs().max().item<double>());
}

TEST_P(AttentionExpertCases, GradientsMatchFiniteDifferences) {
  ModelConfig small = config();
  small.moe.z_loss = 0.1;
  ParameterSet parameters(at::kCPU, Precision::kFloat64);
  const AttentionExperts layer(parameters, "m", "encoder.0", small);
  parameters.initialize(1);
  at::Tensor x = input(2, 7, at::kDouble).set_requires_grad(true);
  const at::Tensor weight = testing::random_tensor({2, 7, 24}, 6);
  const AttentionLayer::Masking mask = masking(7, GetParam().causal, {}, at::kDouble);
  const auto loss = [&] {
    const MoeOutput o = layer.forward({x, {}, 0, true, 1, 0}, mask);
    return (o.y * weight).sum() + 0.5 * o.balance + 0.1 * o.router_z;
  };
  loss().backward();
  const auto value = [&] { return loss().item<double>(); };
  testing::expect_gradient("x", x, x.grad().clone(), value, 84);
  for (Parameter& p : parameters.all()) {
    testing::expect_gradient(p.name(), p.value(), p.gradient(), value, 30);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, AttentionExpertCases,
                         ::testing::Values(Case{"linear", "relu", "switch", 2.0, false},
                                           Case{"linear", "relu", "switch", 0.5, true},
                                           Case{"feed_forward", "relu", "switch", 0.5, false},
                                           Case{"feed_forward", "relu", "switch", 2.0, true},
                                           Case{"feed_forward", "geglu", "switch", 0.5, true},
                                           Case{"feed_forward", "relu", "top2", 1.0, false},
                                           Case{"linear", "relu", "expert_choice", 1.0, false}));

// Without a place a token asks nothing and offers nothing: with no bias it takes the mean of what
// all tokens offer, and changing its content changes nothing but the router's choice.
TEST(AttentionExperts, DroppedTokensHaveNoQueryKeyOrValue) {
  ModelConfig config = layer_config("linear", 1);
  config.moe.capacity = "absolute";
  config.moe.expert_capacity = 5;
  config.moe.group_sequences = 1;
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  const AttentionExperts layer(parameters, "m", "encoder.0", config);
  parameters.initialize(1);
  const c10::NoGradGuard no_grad;
  const at::Tensor x = input(1, 8);  // tokens 5, 6, 7 find no place
  const MoeOutput output = layer.forward({x, {}, 0, false, 1, 0}, {});
  EXPECT_EQ(output.stats.dropped, 3);
  const at::Tensor values =
      at::mm(x[0], parameters.find("m.experts.qkv.weight")->value()[0].chunk(2, 0)[1].t());
  const at::Tensor mean = values.narrow(0, 0, 5).sum(0) / 8;
  const at::Tensor expected = at::mv(parameters.find("m.o.weight")->value(), mean);
  for (const int64_t t : {5, 6, 7}) {
    EXPECT_TRUE(at::allclose(output.y[0][t], expected, 1e-5, 1e-6)) << t;
  }
  at::Tensor other = x.clone();
  other[0].narrow(0, 5, 3).mul_(-7);
  EXPECT_TRUE(at::equal(layer.forward({other, {}, 0, false, 1, 0}, {}).y, output.y));
}

TEST(AttentionExperts, ExpertDropoutIsOfHiddenLayersInTraining) {
  for (const char* kind : {"linear", "feed_forward"}) {
    ModelConfig config = layer_config(kind, 2);
    config.moe.capacity = "dropless";
    config.moe.jitter = 0;
    config.moe.expert_dropout = 0.4;
    ParameterSet parameters(at::kCPU, Precision::kFloat32);
    const AttentionExperts layer(parameters, "m", "encoder.0", config);
    parameters.initialize(1);
    const at::Tensor x = input(2, 9);
    const auto run = [&](bool training) {
      return layer.forward({x, {}, 0, training, 1, 0}, masking(9, false)).y;
    };
    EXPECT_EQ(at::equal(run(true), run(false)), config.attention_hidden() == 0) << kind;
  }
}

TEST(AttentionExperts, SelectivePrecisionRoutesAsFloat32) {
  const at::Tensor x = input(32, 64).to(at::kBFloat16);
  const auto choices = [&](Precision precision, const at::Tensor& activations) {
    ParameterSet parameters(at::kCPU, precision);
    const AttentionExperts layer(parameters, "m", "encoder.0", layer_config("feed_forward", 8));
    parameters.initialize(1);
    const MoeOutput output = layer.forward({activations, {}, 0, false, 1, 0}, {});
    EXPECT_EQ(output.y.scalar_type(), activations.scalar_type());
    return output.plan.expert;
  };
  const at::Tensor full = choices(Precision::kFloat32, x.to(at::kFloat));
  EXPECT_TRUE(at::equal(choices(Precision::kBfloat16Selective, x), full));
  EXPECT_FALSE(at::equal(choices(Precision::kBfloat16, x), full));
}

}  // namespace
}  // namespace switchyard
