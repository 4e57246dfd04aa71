// Properties that the Switch layer must have exactly.
#include "model/moe/moe_layer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/layers/feed_forward.h"
#include "tests/gradient_check.h"

namespace switchyard {
namespace {

ModelConfig layer_config(int64_t experts) {
  ModelConfig config;
  config.d_model = 32;
  config.d_ff = 64;
  config.moe.num_experts = experts;
  config.moe.capacity_factor_train = 1.25;
  config.moe.capacity_factor_eval = 2.0;
  return config;
}

at::Tensor input(int64_t sequences, int64_t length, uint64_t seed = 3) {
  return testing::random_tensor({sequences, length, 32}, seed, at::kFloat);
}

TEST(MoeLayer, OneExpertIsTheDenseFeedForwardBitForBit) {
  ModelConfig config = layer_config(1);
  config.moe.capacity_factor_eval = 1.0;
  ParameterSet routed(at::kCPU, Precision::kFloat32), plain(at::kCPU, Precision::kFloat32);
  const MoeLayer moe(routed, "m", "encoder.0", config);
  const FeedForward dense(plain, "d", config);
  routed.initialize(1);
  plain.initialize(2);
  const c10::NoGradGuard no_grad;
  plain.find("d.wi.weight")->value().copy_(routed.find("m.experts.wi.weight")->value()[0]);
  plain.find("d.wo.weight")->value().copy_(routed.find("m.experts.wo.weight")->value()[0]);
  const at::Tensor x = input(4, 33);
  const MoeOutput output = moe.forward({x, {}, 0, false, 1, 0});
  EXPECT_EQ(output.stats.dropped, 0);
  EXPECT_TRUE(at::equal(output.y, dense.forward(x, 0, RandomStream(0, kRandomDropout), 0)));
}

TEST(MoeLayer, UniformRouterGivesABalanceLossOfExactlyOne) {
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  const MoeLayer moe(parameters, "m", "encoder.0", layer_config(8));
  parameters.initialize(1);
  {
    const c10::NoGradGuard no_grad;
    parameters.find("m.router.classifier.weight")->value().zero_();
  }
  // All ties go to expert 0, and the loss is one all the same: sum f_i / E * E.
  const MoeOutput output = moe.forward({input(4, 16), {}, 0, true, 1, 0});
  EXPECT_EQ(output.balance.item<float>(), 1.0f);
  EXPECT_EQ(output.stats.load[0], 64);
}

TEST(MoeLayer, PermutingExpertsWithRouterRowsLeavesOutputsUnchanged) {
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  const MoeLayer moe(parameters, "m", "encoder.0", layer_config(5));
  parameters.initialize(1);
  const at::Tensor x = input(6, 20);
  const at::Tensor before = moe.forward({x, {}, 0, false, 1, 0}).y;
  const at::Tensor order = at::tensor({3, 0, 4, 1, 2}, at::kLong);
  {
    const c10::NoGradGuard no_grad;
    for (Parameter& p : parameters.all()) p.value().copy_(p.value().index_select(0, order));
  }
  const at::Tensor after = moe.forward({x, {}, 0, false, 1, 0}).y;
  // The softmax sums its terms in another order: equal up to the last bits of float32.
  EXPECT_TRUE(at::allclose(before, after, 1e-6, 1e-7));
}

TEST(MoeLayer, RoutingDoesNotDependOnHowTheBatchIsSplit) {
  ModelConfig config = layer_config(4);
  config.moe.group_sequences = 2;
  config.moe.capacity_factor_train = 0.6;  // many drops
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  const MoeLayer moe(parameters, "m", "encoder.0", config);
  parameters.initialize(1);
  const at::Tensor x = input(6, 24);
  const MoeOutput whole = moe.forward({x, {}, 0, true, 7, 3});
  EXPECT_GT(whole.stats.dropped, 0);
  for (const int64_t size : {2, 4}) {
    for (int64_t begin = 0; begin < 6; begin += size) {
      const int64_t count = std::min<int64_t>(size, 6 - begin);
      const MoeOutput part = moe.forward({x.narrow(0, begin, count), {}, begin, true, 7, 3});
      EXPECT_TRUE(at::equal(part.plan.kept, whole.plan.kept.narrow(0, begin * 24, count * 24)));
      EXPECT_TRUE(at::allclose(part.y, whole.y.narrow(0, begin, count), 0, 1e-6));
    }
  }
}

TEST(MoeLayer, PaddingTakesNoCapacityAndGivesZero) {
  ModelConfig config = layer_config(4);
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  const MoeLayer moe(parameters, "m", "encoder.0", config);
  parameters.initialize(1);
  const at::Tensor x = input(2, 16);
  at::Tensor segments = at::ones({2, 16}, at::kLong);
  segments.narrow(1, 10, 6).zero_();
  const MoeOutput output = moe.forward({x, segments, 0, false, 1, 0});
  EXPECT_EQ(output.stats.tokens, 20);
  EXPECT_EQ(output.y.narrow(1, 10, 6).abs().max().item<float>(), 0.0f);
  // What stands at padding changes nothing for real tokens.
  at::Tensor other = x.clone();
  other.narrow(1, 10, 6).fill_(9);
  const MoeOutput again = moe.forward({other, segments, 0, false, 1, 0});
  EXPECT_TRUE(at::equal(again.y.narrow(1, 0, 10), output.y.narrow(1, 0, 10)));
  EXPECT_EQ(again.balance.item<float>(), output.balance.item<float>());
}

TEST(MoeLayer, DroppedTokensGiveZero) {
  ModelConfig config = layer_config(4);
  config.moe.capacity_factor_train = 0.25;
  config.moe.min_capacity = 1;
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  const MoeLayer moe(parameters, "m", "encoder.0", config);
  parameters.initialize(1);
  const MoeOutput output = moe.forward({input(2, 16), {}, 0, true, 1, 0});
  ASSERT_GT(output.stats.dropped, 0);
  const at::Tensor size = output.y.view({-1, 32}).abs().sum(-1);
  EXPECT_TRUE(at::equal(size.gt(0), output.plan.kept.select(1, 0)));
}

TEST(MoeLayer, OnlyTheRouterSeesTheJitter) {
  ModelConfig config = layer_config(1);  // one expert: the jitter cannot change the choice or gate
  config.moe.jitter = 0.3;
  config.moe.capacity_factor_train = 1.0;
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  const MoeLayer moe(parameters, "m", "encoder.0", config);
  parameters.initialize(1);
  const at::Tensor x = input(2, 8);
  EXPECT_TRUE(
      at::equal(moe.forward({x, {}, 0, true, 1, 0}).y, moe.forward({x, {}, 0, false, 1, 0}).y));
}

/// Output of a layer with strong noise, where `exploration` has any.
MoeOutput explored(const std::string& exploration, const MoeInput& input) {
  ModelConfig config = layer_config(4);
  config.moe.capacity = "dropless";
  config.moe.exploration = exploration;
  config.moe.jitter = 0.3;
  config.moe.input_dropout = 0.4;
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  const MoeLayer moe(parameters, "m", "encoder.0", config);
  parameters.initialize(1);
  return moe.forward(input);
}

// F14: evaluation is deterministic, training noisy, another step draws other noise.
TEST(MoeLayer, ExplorationIsOfTrainingAndOfItsStep) {
  MoeInput in;
  in.x = input(4, 33);
  const at::Tensor calm = explored("argmax", in).plan.gate;
  MoeInput training = in, next = in;
  training.training = next.training = true;
  next.step = 1;
  for (const char* exploration : {"jitter", "sample", "input_dropout"}) {
    EXPECT_TRUE(at::equal(explored(exploration, in).plan.gate, calm)) << exploration;
    const at::Tensor noisy = explored(exploration, training).plan.gate;
    EXPECT_FALSE(at::equal(noisy, calm)) << exploration;
    EXPECT_TRUE(at::equal(explored(exploration, training).plan.gate, noisy)) << exploration;
    EXPECT_FALSE(at::equal(explored(exploration, next).plan.gate, noisy)) << exploration;
  }
  EXPECT_TRUE(at::equal(explored("argmax", training).plan.gate, calm));
}

TEST(MoeLayer, InputDropoutZeroesTheRoutersInputAtItsRateAndKeepsItsMean) {
  // One feature, positive for expert 0: a dropped input gives the uniform gate 1/2, a kept one is
  // scaled by 1 / (1 - rate).
  ModelConfig config = layer_config(2);
  config.d_model = 1;
  config.moe.capacity = "dropless";
  config.moe.exploration = "input_dropout";
  config.moe.input_dropout = 0.25;
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  const MoeLayer moe(parameters, "m", "encoder.0", config);
  parameters.initialize(1);
  {
    const c10::NoGradGuard no_grad;
    parameters.find("m.router.classifier.weight")
        ->value()
        .copy_(at::tensor({3.0, 0.0}).view({2, 1}));
  }
  MoeInput in;
  in.x = at::ones({8, 1000, 1});
  in.training = true;
  const at::Tensor gate = moe.forward(in).plan.gate;
  const at::Tensor dropped = gate.eq(0.5);
  EXPECT_NEAR(dropped.to(at::kFloat).mean().item<double>(), 0.25, 0.015);
  EXPECT_NEAR(gate.max().item<double>(), 1 / (1 + std::exp(-3.0 / 0.75)), 1e-6);
}

TEST(MoeLayer, ExpertDropoutIsOfTrainingAndKeepsTheMean) {
  ModelConfig config = layer_config(2);
  config.moe.capacity = "dropless";
  config.moe.jitter = 0;
  config.moe.expert_dropout = 0.4;
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  const MoeLayer moe(parameters, "m", "encoder.0", config);
  parameters.initialize(1);
  MoeInput in;
  in.x = input(4, 16);
  const at::Tensor calm = moe.forward(in).y;
  in.training = true;
  const MoeOutput first = moe.forward(in);
  EXPECT_FALSE(at::equal(first.y, calm));
  at::Tensor mean = at::zeros_like(calm);
  constexpr int kSteps = 300;
  for (in.step = 0; in.step < kSteps; ++in.step) {
    const MoeOutput output = moe.forward(in);
    EXPECT_TRUE(at::equal(output.plan.gate, first.plan.gate));  // the router sees none of it
    mean += output.y.detach() / kSteps;
  }
  EXPECT_LE((mean - calm).abs().mean().item<double>(), 0.1 * calm.abs().mean().item<double>());
}

TEST(MoeLayer, TheZLossAloneTeachesTheRouterAndLeavesPaddingOut) {
  ModelConfig config = layer_config(4);
  config.moe.z_loss = 0.001;
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  const MoeLayer moe(parameters, "m", "encoder.0", config);
  parameters.initialize(1);
  MoeInput in;
  in.x = input(2, 16);
  in.segments = at::ones({2, 16}, at::kLong);
  in.segments.narrow(1, 10, 6).zero_();
  const MoeOutput output = moe.forward(in);
  output.router_z.backward();
  const Parameter& classifier = *parameters.find("m.router.classifier.weight");
  EXPECT_GT(classifier.gradient().abs().max().item<double>(), 0);
  const at::Tensor real = in.x.narrow(1, 0, 10).reshape({-1, 32});
  const at::Tensor logits = at::mm(real, classifier.value().t());
  EXPECT_NEAR(output.router_z.item<double>(),
              at::logsumexp(logits, {-1}).square().mean().item<double>(), 1e-5);
  // Off: no such tensor at all.
  config.moe.z_loss = 0;
  ParameterSet others(at::kCPU, Precision::kFloat32);
  const MoeLayer without(others, "m", "encoder.0", config);
  others.initialize(1);
  EXPECT_FALSE(without.forward(in).router_z.defined());
}

TEST(MoeLayer, SelectivePrecisionRoutesAsFloat32) {
  // The same bfloat16 activations: a float32 router must choose the same experts whatever the
  // precision of the rest; a bfloat16 router chooses others for some tokens.
  const at::Tensor x = input(32, 64).to(at::kBFloat16);
  const auto choices = [&](Precision precision, const at::Tensor& activations) {
    ParameterSet parameters(at::kCPU, precision);
    const MoeLayer moe(parameters, "m", "encoder.0", layer_config(8));
    parameters.initialize(1);
    return moe.forward({activations, {}, 0, false, 1, 0}).plan.expert;
  };
  const at::Tensor full = choices(Precision::kFloat32, x.to(at::kFloat));
  EXPECT_TRUE(at::equal(choices(Precision::kBfloat16Selective, x), full));
  EXPECT_FALSE(at::equal(choices(Precision::kBfloat16, x), full));
}

TEST(MoeLayer, GradientsMatchFiniteDifferences) {
  ModelConfig config = layer_config(3);
  config.d_model = 6;
  config.d_ff = 5;
  config.init_scale = 4.0;
  config.moe.z_loss = 0.1;
  ParameterSet parameters(at::kCPU, Precision::kFloat64);
  const MoeLayer moe(parameters, "m", "encoder.0", config);
  parameters.initialize(1);
  at::Tensor x = testing::random_tensor({2, 7, 6}, 5).set_requires_grad(true);
  const at::Tensor weight = testing::random_tensor({2, 7, 6}, 6);
  const auto loss = [&] {
    const MoeOutput o = moe.forward({x, {}, 0, true, 1, 0});
    return (o.y * weight).sum() + 0.5 * o.balance + 0.1 * o.router_z;
  };
  loss().backward();
  const auto value = [&] { return loss().item<double>(); };
  testing::expect_gradient("x", x, x.grad().clone(), value, 84);
  for (Parameter& p : parameters.all())
    testing::expect_gradient(p.name(), p.value(), p.gradient(), value, 30);
}

}  // namespace
}  // namespace switchyard
