// Each profile against the rule of the system it names, written out here token by token.
#include "model/moe/profile.h"

#include <gtest/gtest.h>

#include "model/moe/moe_layer.h"
#include "model/moe/router_loss_total.h"
#include "model/moe/router_test_tools.h"
#include "tests/gradient_check.h"

namespace switchyard {
namespace {

MoeConfig moe_of(const std::string& profile, int64_t experts) {
  MoeConfig config;
  config.profile = profile;
  config.num_experts = experts;
  config.min_capacity = 1;
  config.group_sequences = 2;
  return config;
}

TEST(ProfileCapacity, RoundsAsTheSystemDoes) {
  // Tokens of a group -> places with factor 1.25 and 5 experts: 2.5, 2.75, 3.5.
  const auto places = [](const std::string& profile) {
    const MoeConfig config = moe_of(profile, 5);
    return std::vector<int64_t>{expert_capacity(config, 10, true),
                                expert_capacity(config, 11, true),
                                expert_capacity(config, 14, true)};
  };
  EXPECT_EQ(places("paper"), (std::vector<int64_t>{2, 2, 3}));
  EXPECT_EQ(places("mesh"), (std::vector<int64_t>{2, 2, 3}));
  EXPECT_EQ(places("t5x"), (std::vector<int64_t>{2, 3, 4}));  // halves to the even number
}

TEST(ProfileCapacity, HasItsFloor) {
  for (const char* profile : {"paper", "mesh", "t5x"}) {
    MoeConfig config = moe_of(profile, 128);
    config.min_capacity = 4;
    EXPECT_EQ(expert_capacity(config, 64, true), 4) << profile;
    EXPECT_EQ(expert_capacity(config, 3, true), 3) << profile;  // never more than there are tokens
  }
}

TEST(ProfileCapacity, IsAbsoluteInHfWhateverTheFactors) {
  MoeConfig config = moe_of("hf", 8);
  EXPECT_EQ(expert_capacity(config, 512, true), 64);
  EXPECT_EQ(expert_capacity(config, 512, false), 64);
  EXPECT_EQ(expert_capacity(config, 40, false), 40);
  config.expert_capacity = 3;
  EXPECT_EQ(expert_capacity(config, 512, true), 3);
}

TEST(ProfileCapacity, GivesWayToTheOptionCapacity) {
  MoeConfig config = moe_of("paper", 8);
  config.capacity = "dropless";
  EXPECT_EQ(expert_capacity(config, 512, true), 512);
  config.capacity = "absolute";
  EXPECT_EQ(expert_capacity(config, 512, true), 64);
  config.profile = "hf";
  config.capacity = "factor";
  EXPECT_EQ(expert_capacity(config, 512, true), 80);
}

TEST(Profiles, UnknownNamesAreRefused) {
  EXPECT_THROW(routing_rules(moe_of("megatron", 4)), std::runtime_error);
}

// ---- Balance loss. Two groups of S tokens, the second with padding.

constexpr int64_t kGroup = 10, kExperts = 4, kTokens = 2 * kGroup;

struct Balance {
  explicit Balance(const MoeConfig& config) {
    at::Tensor logits = testing::random_tensor({kTokens, kExperts}, 11);
    input = testing::groups(logits, kGroup, 3);
    real = at::arange(kTokens).lt(kTokens - 4);
    const RoutingRules rules = routing_rules(config);
    if (!rules.route_padding) input.valid = real;
    ModelConfig model;
    model.moe = config;
    plan = router_kind(config).make(model)->route(input);
    const BalanceTerms terms = balance_terms(
        input.probabilities, counted_choices(plan, input.probabilities, rules.balance), input.valid,
        input.group_ends, rules.balance);
    loss = balance_loss(terms, at::kDouble).item<double>();
  }
  int64_t best(int64_t t) const { return input.probabilities[t].argmax().item<int64_t>(); }
  bool is_real(int64_t t) const { return t < kTokens - 4; }
  double probability(int64_t t, int64_t e) const {
    return input.probabilities[t][e].item<double>();
  }

  RouterInput input;
  RoutingPlan plan;
  at::Tensor real;
  double loss;
};

/// Of tokens begin .. end: E * sum f P with both over `divisor` tokens, counting those `counted`.
template <class Counted, class Expert>
double group_loss(const Balance& b, int64_t begin, double divisor, Counted counted, Expert expert) {
  double total = 0;
  for (int64_t e = 0; e < kExperts; ++e) {
    double f = 0, mean = 0;
    for (int64_t t = begin; t < begin + kGroup; ++t) {
      if (!counted(t)) continue;
      f += expert(t) == e ? 1 : 0;
      mean += b.probability(t, e);
    }
    total += f / divisor * mean / divisor;
  }
  return total * kExperts;
}

TEST(ProfileBalance, PaperIsOverRealTokens) {
  const Balance b(moe_of("paper", kExperts));
  const auto real = [&](int64_t t) { return b.is_real(t); };
  const auto best = [&](int64_t t) { return b.best(t); };
  EXPECT_NEAR(b.loss,
              (10 * group_loss(b, 0, 10, real, best) + 6 * group_loss(b, 10, 6, real, best)) / 16,
              1e-12);
}

TEST(ProfileBalance, MeshCountsPaddingAndScalesByTheRealShare) {
  const Balance b(moe_of("mesh", kExperts));
  const auto all = [](int64_t) { return true; };
  const auto best = [&](int64_t t) { return b.best(t); };
  EXPECT_NEAR(b.loss, (group_loss(b, 0, 10, all, best) + .6 * group_loss(b, 10, 10, all, best)) / 2,
              1e-12);
  EXPECT_FALSE(b.plan.kept.narrow(0, kTokens - 4, 4).any().item<bool>());
}

TEST(ProfileBalance, MeshTop2MasksPaddingBeforeTheMean) {
  MoeConfig config = moe_of("mesh", kExperts);
  config.router = "top2";
  const Balance b(config);
  const auto real = [&](int64_t t) { return b.is_real(t); };
  const auto best = [&](int64_t t) { return b.best(t); };
  EXPECT_NEAR(b.loss, (group_loss(b, 0, 10, real, best) + group_loss(b, 10, 10, real, best)) / 2,
              1e-12);
}

TEST(ProfileBalance, T5xRoutesPaddingLikeAnyToken) {
  const Balance b(moe_of("t5x", kExperts));
  const auto all = [](int64_t) { return true; };
  const auto best = [&](int64_t t) { return b.best(t); };
  EXPECT_NEAR(b.loss, (group_loss(b, 0, 10, all, best) + group_loss(b, 10, 10, all, best)) / 2,
              1e-12);
  EXPECT_TRUE(b.plan.expert.narrow(0, kTokens - 4, 4).ge(0).all().item<bool>());
}

TEST(ProfileBalance, HfCountsDroppedTokensOnExpertZero) {
  const Balance b(moe_of("hf", kExperts));
  ASSERT_FALSE(b.plan.kept.all().item<bool>());
  const auto all = [](int64_t) { return true; };
  const auto masked = [&](int64_t t) { return b.plan.kept[t][0].item<bool>() ? b.best(t) : 0; };
  EXPECT_NEAR(b.loss, (group_loss(b, 0, 10, all, masked) + group_loss(b, 10, 10, all, masked)) / 2,
              1e-12);
}

// ---- Losses over layers.

LayerRouterLosses layer_losses(double balance, double z) {
  const at::Tensor one = at::ones({1, 1}, at::kDouble);
  return {at::full({}, balance), {one * balance, one}, at::full({}, z)};
}

// F13, t5x/contrib/moe/models_test.py: aux 1 and 2, z 0 and 1, factors 0.1 and 10.
TEST(ProfileLayerLosses, T5xTakesTheMeanAsF13) {
  MoeConfig config = moe_of("t5x", 4);
  config.balance_loss = .1;
  config.z_loss = 10;
  const RouterLossTotal total =
      total_router_losses(config, {{{layer_losses(1, 0)}, true}, {{layer_losses(2, 1)}, true}});
  EXPECT_NEAR(total.balance, .15, 1e-9);
  EXPECT_NEAR(total.router_z, 5.0, 1e-9);
  EXPECT_NEAR(total.loss.item<double>(), 5.15, 1e-6);
  config.profile = "paper";
  EXPECT_NEAR(
      total_router_losses(config, {{{layer_losses(1, 0)}, true}, {{layer_losses(2, 1)}, true}})
          .balance,
      .3, 1e-9);
}

// ---- hf as a whole: transformers 4.57's layer and losses, in loops.

ModelConfig hf_config() {
  ModelConfig config;
  config.d_model = 16;
  config.d_ff = 20;
  config.init_scale = 2;
  config.moe = moe_of("hf", 4);
  config.moe.expert_capacity = 3;
  config.moe.jitter = 0;
  config.moe.z_loss = .001;
  config.moe.balance_loss = .001;
  return config;
}

struct HfLayer {
  HfLayer(uint64_t seed)
      : parameters(at::kCPU, Precision::kFloat32),
        layer(parameters, "m", "encoder.0", hf_config()) {
    parameters.initialize(seed);
  }
  at::Tensor weight(const std::string& name) {
    return parameters.find("m." + name)->value().detach();
  }
  ParameterSet parameters;
  MoeLayer layer;
};

/// Expert of each token, 0 if dropped; y.
std::pair<at::Tensor, at::Tensor> hf_forward(HfLayer& l, const at::Tensor& x) {
  const at::Tensor p = at::softmax(at::matmul(x, l.weight("router.classifier.weight").t()), -1);
  at::Tensor masked = at::zeros({x.size(0), x.size(1)}, at::kLong), y = at::zeros_like(x);
  for (int64_t b = 0; b < x.size(0); ++b) {
    std::vector<int64_t> seen(4, 0);
    for (int64_t s = 0; s < x.size(1); ++s) {
      const int64_t e = p[b][s].argmax().item<int64_t>();
      if (++seen[static_cast<size_t>(e)] > 3) continue;
      masked[b][s] = e;
      const at::Tensor h = at::relu(at::mv(l.weight("experts.wi.weight")[e], x[b][s]));
      y[b][s] = at::mv(l.weight("experts.wo.weight")[e], h) * p[b][s][e];
    }
  }
  return {masked, y};
}

TEST(HfProfile, DropsPerRowAndPoolsItsLossesOverLayers) {
  const at::Tensor x = testing::random_tensor({3, 14, 16}, 3, at::kFloat);
  at::Tensor segments = at::ones({3, 14}, at::kLong);
  segments[1].narrow(0, 9, 5).zero_();  // padding: routed all the same
  std::vector<at::Tensor> logits, masked;
  StackRouterLosses stack;
  stack.has_dense_block = true;
  for (const uint64_t seed : {1, 2}) {
    HfLayer l(seed);
    const auto [experts, y] = hf_forward(l, x);
    MoeInput input;
    input.x = x;
    input.segments = segments;
    const MoeOutput output = l.layer.forward(input);
    EXPECT_LE((output.y - y).abs().max().item<double>(), 1e-6);
    EXPECT_GT(output.stats.dropped, 0);
    EXPECT_EQ(output.stats.tokens, 42);
    logits.push_back(at::matmul(x, l.weight("router.classifier.weight").t()));
    masked.push_back(experts);
    stack.layers.push_back({output.balance, output.balance_terms, output.router_z});
  }
  const at::Tensor all = at::cat(logits, 1);  // [B, layers * S, E]
  const double z = at::logsumexp(all, {-1}).square().mean().item<double>();
  const at::Tensor f = at::one_hot(at::cat(masked, 1), 4).to(at::kFloat).mean(1);
  const double aux = (f * at::softmax(all, -1).mean(1)).mean().item<double>() * 16;
  const RouterLossTotal total = total_router_losses(hf_config().moe, {stack, stack});
  EXPECT_NEAR(total.router_z, 2 * .001 * z, 1e-8);
  EXPECT_NEAR(total.balance, 2 * .001 * aux, 1e-8);
  // sparse_step <= 1: transformers leaves the stack's losses out.
  StackRouterLosses every_block = stack;
  every_block.has_dense_block = false;
  EXPECT_NEAR(total_router_losses(hf_config().moe, {stack, every_block}).router_z, .001 * z, 1e-8);
}

TEST(HfProfile, RoundsProbabilitiesToTheActivationsBeforeTheChoice) {
  // Two experts whose probabilities differ by less than bfloat16 can tell: a tie, so expert 0.
  ModelConfig config = hf_config();
  config.d_model = 2;
  config.moe.num_experts = 2;
  const auto expert = [&](const std::string& profile) {
    config.moe.profile = profile;
    ParameterSet parameters(at::kCPU, Precision::kBfloat16Selective);
    const MoeLayer layer(parameters, "m", "encoder.0", config);
    parameters.initialize(1);
    {
      const c10::NoGradGuard no_grad;
      parameters.find("m.router.classifier.weight")
          ->value()
          .copy_(testing::matrix({1, 0, 1.001, 0}, 2));
      parameters.refresh_compute();
    }
    MoeInput input;
    input.x = at::ones({1, 1, 2}, at::kBFloat16);
    return layer.forward(input).plan.expert.item<int64_t>();
  };
  EXPECT_EQ(expert("paper"), 1);
  EXPECT_EQ(expert("hf"), 0);
}

class ProfileGradient : public ::testing::TestWithParam<const char*> {};

TEST_P(ProfileGradient, MatchesFiniteDifferencesWithPadding) {
  ModelConfig config = hf_config();
  config.d_model = 6;
  config.d_ff = 5;
  config.moe.profile = GetParam();
  config.moe.z_loss = .3;
  config.moe.balance_loss = 2;
  ParameterSet parameters(at::kCPU, Precision::kFloat64);
  const MoeLayer first(parameters, "a", "encoder.0", config),
      second(parameters, "b", "encoder.1", config);
  parameters.initialize(1);
  MoeInput input;
  input.x = testing::random_tensor({2, 8, 6}, 5).set_requires_grad(true);
  input.segments = at::ones({2, 8}, at::kLong);
  input.segments[1].narrow(0, 5, 3).zero_();
  input.training = true;
  const at::Tensor weight = testing::random_tensor({2, 8, 6}, 6);
  const auto loss = [&] {
    StackRouterLosses stack;
    stack.has_dense_block = true;
    at::Tensor y = at::zeros_like(weight);
    for (const MoeLayer* layer : {&first, &second}) {
      const MoeOutput output = layer->forward(input);
      y = y + output.y;
      stack.layers.push_back({output.balance, output.balance_terms, output.router_z});
    }
    return (y * weight).sum() + total_router_losses(config.moe, {stack}).loss;
  };
  loss().backward();
  const auto value = [&] { return loss().item<double>(); };
  testing::expect_gradient("x", input.x, input.x.grad().clone(), value, 12, 1e-6, 2e-6);
  for (Parameter& p : parameters.all()) {
    testing::expect_gradient(p.name(), p.value(), p.gradient(), value, 8, 1e-6, 2e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Profiles, ProfileGradient,
                         ::testing::Values("paper", "mesh", "t5x", "hf"));

}  // namespace
}  // namespace switchyard
