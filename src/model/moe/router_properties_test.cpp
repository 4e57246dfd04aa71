// What must hold for every router: the grouped path gives what one-hot [T, E, C] masks and einsum
// give, dispatch and combine are the identity for identity experts, gradients match finite
// differences, and the router learns with and without the balance loss.
#include <gtest/gtest.h>

#include "base/hash.h"
#include "model/moe/hash_router.h"
#include "model/moe/moe_layer.h"
#include "model/moe/router_test_tools.h"
#include "ops/ops.h"
#include "tests/gradient_check.h"

namespace switchyard {
namespace {

struct RouterCase {
  const char* name;
  const char* router;
  void (*set)(MoeConfig&) = [](MoeConfig&) {};
};

std::ostream& operator<<(std::ostream& out, const RouterCase& c) { return out << c.name; }

const RouterCase kCases[] = {
    {"Switch", "switch"},
    {"SwitchPrioritized", "switch", [](MoeConfig& c) { c.batch_prioritized = true; }},
    {"SwitchSampled", "switch", [](MoeConfig& c) { c.exploration = "sample"; }},
    {"SwitchDropless", "switch", [](MoeConfig& c) { c.capacity = "dropless"; }},
    {"Top2", "top2", [](MoeConfig& c) { c.second_choice = "all"; }},
    {"Top2Random", "top2", [](MoeConfig& c) { c.second_threshold = .9; }},
    {"Top2Threshold", "top2",
     [](MoeConfig& c) {
       c.second_choice = "threshold";
       c.second_threshold = .35;
     }},
    {"Top2Prioritized", "top2",
     [](MoeConfig& c) {
       c.second_choice = "all";
       c.batch_prioritized = true;
     }},
    {"Top2Plain", "top2",
     [](MoeConfig& c) {
       c.second_choice = "all";
       c.profile = "t5x";
     }},
    {"Ntlb", "ntlb"},
    {"NtlbPrioritized", "ntlb", [](MoeConfig& c) { c.batch_prioritized = true; }},
    {"SwitchMax", "switch_max"},
    {"ExpertChoice", "expert_choice"},
    {"Hash", "hash"},
    {"HashPlain", "hash", [](MoeConfig& c) { c.hash = "plain"; }},
};

constexpr int64_t kSequences = 4, kLength = 12, kGroup = 2 * kLength, kTokens = 4 * kLength;

ModelConfig config_of(const RouterCase& c, int64_t width, int64_t inner, int64_t experts) {
  ModelConfig config;
  config.d_model = width;
  config.d_ff = inner;
  config.vocab_size = 50;
  config.init_scale = 2.0;
  config.moe.num_experts = experts;
  config.moe.router = c.router;
  config.moe.exploration = "argmax";
  config.moe.capacity_factor_train = .8;  // many drops
  config.moe.min_capacity = 1;
  config.moe.group_sequences = 2;
  c.set(config.moe);
  return config;
}

/// A layer with weights and an input with padding, in training.
struct RoutedLayer {
  RoutedLayer(const RouterCase& c, int64_t width, int64_t inner, int64_t experts,
              Precision precision)
      : config(config_of(c, width, inner, experts)),
        parameters(at::kCPU, precision),
        layer(parameters, "m", "encoder.0", config) {
    parameters.initialize(1);
    const at::ScalarType type = precision == Precision::kFloat64 ? at::kDouble : at::kFloat;
    input.x = testing::random_tensor({kSequences, kLength, width}, 3, type);
    input.segments = at::ones({kSequences, kLength}, at::kLong);
    input.segments[1].narrow(0, 8, 4).zero_();
    input.ids =
        testing::random_tensor({kSequences, kLength}, 9).mul(9).abs().to(at::kLong).clamp_max(49);
    input.training = true;
    input.seed = 5;
    input.step = 2;
  }
  at::Tensor weight(const std::string& name) {
    return parameters.find("m." + name)->value().detach();
  }
  bool learned() { return parameters.find("m.router.classifier.weight") != nullptr; }

  ModelConfig config;
  ParameterSet parameters;
  MoeLayer layer;
  MoeInput input;
};

// ---- The reference: one-hot masks, cumulative sums, einsum.

struct Masks {
  at::Tensor dispatch;  // [G, S, E, C] 0 or 1
  at::Tensor combine;   // the same times the gate
};

/// [G, S, E, C] from slots [G, S, E], -1 for no place.
Masks masks_of(const at::Tensor& slot, const at::Tensor& gate, int64_t capacity) {
  const at::Tensor dispatch =
      at::one_hot(at::where(slot.ge(0) & slot.lt(capacity), slot, at::full_like(slot, capacity)),
                  capacity + 1)
          .narrow(-1, 0, capacity)
          .to(gate.scalar_type());
  return {dispatch, dispatch * gate.unsqueeze(-1)};
}

/// Slots [G, S, E] of `wanted` masks [K, G, S, E], all first masks before second ones. With
/// `one_per_token` a token that has a place leaves later masks.
at::Tensor slots_by_cumsum(const std::vector<at::Tensor>& wanted, const at::Tensor& order,
                           int64_t capacity, bool one_per_token) {
  const at::Tensor rows = order.unsqueeze(-1).expand_as(wanted[0]);  // [G, S, E]
  at::Tensor slot = at::full_like(wanted[0], -1);
  at::Tensor count = at::zeros_like(wanted[0].select(1, 0)).unsqueeze(1);  // [G, 1, E]
  at::Tensor placed = at::zeros_like(wanted[0].select(2, 0)).unsqueeze(2);
  for (at::Tensor mask : wanted) {
    if (one_per_token) mask = mask * (1 - placed);
    const at::Tensor sorted = mask.gather(1, rows);
    const at::Tensor position = sorted.cumsum(1) - sorted + count;
    const at::Tensor kept = sorted * position.lt(capacity).to(at::kLong);
    const at::Tensor own = at::zeros_like(mask).scatter(1, rows, kept);
    const at::Tensor own_position = at::zeros_like(mask).scatter(1, rows, position);
    slot = at::where(own.gt(0), own_position, slot);
    placed = at::maximum(placed, own.amax(2, true));
    count = count + kept.sum(1, true);
  }
  return slot;
}

/// Slots of the `capacity` tokens with the largest score [G, S, E] per expert; scores of 0 do not
/// count.
at::Tensor slots_by_score(const at::Tensor& score, int64_t capacity) {
  const at::Tensor rank = score.argsort(true, 1, true).argsort(true, 1, false);
  return at::where(rank.lt(capacity) & score.gt(0), rank, at::full_like(rank, -1));
}

at::Tensor by_group(const at::Tensor& rows) { return rows.view({-1, kGroup, rows.size(-1)}); }

Masks reference_masks(RoutedLayer& s) {
  const MoeConfig& moe = s.config.moe;
  const int64_t experts = moe.num_experts;
  const at::ScalarType type = s.input.x.scalar_type();
  const RoutingRules rules = routing_rules(moe);
  at::Tensor real = s.input.segments.view({-1, 1}).gt(0).to(at::kLong);
  if (rules.route_padding) real = at::ones_like(real);
  const int64_t capacity =
      moe.capacity == "dropless"
          ? kGroup
          : static_cast<int64_t>((moe.profile == "t5x"
                                      ? std::nearbyint(kGroup * .8 / static_cast<double>(experts))
                                      : std::floor(kGroup * .8 / static_cast<double>(experts))));
  if (!s.learned()) {
    const HashRouter router(s.config);
    at::Tensor expert = at::empty({kTokens}, at::kLong);
    for (int64_t t = 0; t < kTokens; ++t) {
      expert[t] = router.expert_of(s.input.ids.view(-1)[t].item<int64_t>());
    }
    const at::Tensor wanted = at::one_hot(expert, experts) * real;
    const at::Tensor order = at::arange(kGroup).expand({kTokens / kGroup, kGroup});
    return masks_of(slots_by_cumsum({by_group(wanted)}, order, capacity, false),
                    at::ones({kTokens / kGroup, kGroup, experts}, type), capacity);
  }
  const at::Tensor p = at::softmax(
      at::mm(s.input.x.view({kTokens, -1}), s.weight("router.classifier.weight").t()), -1);
  const at::Tensor draws = at::empty({kTokens, 1}, type);
  const RandomStream stream(s.input.seed, kRandomExplore, s.input.step, hash64("encoder.0"));
  for (int64_t t = 0; t < kTokens; ++t) draws[t][0] = stream.uniform(static_cast<uint64_t>(t));
  const std::string router = moe.router;
  if (router == "expert_choice") {
    const at::Tensor score = by_group(p * real.to(type));
    return masks_of(slots_by_score(score, capacity), by_group(p), capacity);
  }
  const int64_t choices = router == "top2" ? 2 : router == "ntlb" ? 4 : 1;
  const auto [gates, experts_of] = p.topk(std::min(choices, experts), -1);
  std::vector<at::Tensor> wanted;
  at::Tensor gate = p;
  for (int64_t k = 0; k < gates.size(1); ++k) {
    wanted.push_back(at::one_hot(experts_of.select(1, k), experts) * real);
  }
  if (moe.exploration == "sample") {
    wanted[0] = at::one_hot(p.cumsum(1).le(draws).sum(1).clamp_max(experts - 1), experts) * real;
  }
  if (router == "switch_max") {
    return masks_of(slots_by_score(by_group(p * wanted[0].to(type)), capacity), by_group(p),
                    capacity);
  }
  if (router == "top2") {
    at::Tensor sum = at::ones({kTokens, 1}, type);
    if (rules.renormalize_top2) sum = gates.sum(1, true);
    gate = p / sum;
    const at::Tensor second = gates.select(1, 1).unsqueeze(1) / sum;
    if (moe.second_choice == "random")
      wanted[1] = wanted[1] * (draws * moe.second_threshold).lt(second);
    if (moe.second_choice == "threshold") wanted[1] = wanted[1] * second.gt(moe.second_threshold);
  }
  for (at::Tensor& mask : wanted) mask = by_group(mask);
  at::Tensor order = at::arange(kGroup).expand({kTokens / kGroup, kGroup});
  if (moe.batch_prioritized) order = p.amax(1).view({-1, kGroup}).argsort(true, 1, true);
  return masks_of(slots_by_cumsum(wanted, order, capacity, router == "ntlb"), by_group(gate),
                  capacity);
}

class EveryRouter : public ::testing::TestWithParam<RouterCase> {};

TEST_P(EveryRouter, KeepsAndComputesWhatOneHotMasksDo) {
  RoutedLayer s(GetParam(), 16, 24, 5, Precision::kFloat32);
  const Masks masks = reference_masks(s);
  const MoeOutput output = s.layer.forward(s.input);
  const at::Tensor kept = masks.dispatch.sum(-1).view({kTokens, -1});
  EXPECT_TRUE(at::equal(testing::combine_weights(output.plan).gt(0), kept.gt(0)));
  const at::Tensor x = s.input.x.view({-1, kGroup, 16});
  const at::Tensor rows = at::einsum("gsec,gsd->egcd", {masks.dispatch, x});
  const at::Tensor hidden =
      at::relu(at::einsum("egcd,efd->egcf", {rows, s.weight("experts.wi.weight")}));
  const at::Tensor y = at::einsum("egcf,edf->egcd", {hidden, s.weight("experts.wo.weight")});
  const at::Tensor expected = at::einsum("gsec,egcd->gsd", {masks.combine, y});
  EXPECT_GT(expected.abs().max().item<double>(), .1);
  EXPECT_LE((output.y.view_as(expected) - expected).abs().max().item<double>(), 1e-6);
}

TEST_P(EveryRouter, DispatchAndCombineAreTheIdentityForIdentityExperts) {
  RoutedLayer s(GetParam(), 8, 16, 5, Precision::kFloat32);
  {
    // x = relu(x) - relu(-x)
    const c10::NoGradGuard no_grad;
    const at::Tensor eye = at::eye(8);
    s.parameters.find("m.experts.wi.weight")->value().copy_(at::cat({eye, -eye}, 0));
    s.parameters.find("m.experts.wo.weight")->value().copy_(at::cat({eye, -eye}, 1));
  }
  const MoeOutput output = s.layer.forward(s.input);
  const at::Tensor x = s.input.x.view({kTokens, 8});
  const at::Tensor weights = testing::combine_weights(output.plan);
  EXPECT_TRUE(at::allclose(output.y.view({kTokens, 8}), x * weights.sum(1, true), 0, 1e-6));
  // With gates that sum to 1 over the places of a token: the token itself, or 0 without a place.
  RoutingPlan plan = output.plan;
  plan.gate = plan.kept.to(at::kFloat) / plan.kept.sum(1, true).clamp_min(1);
  const at::Tensor y = ops::expert_feed_forward(x, plan, *s.parameters.find("m.experts.wi.weight"),
                                                *s.parameters.find("m.experts.wo.weight"), {});
  EXPECT_TRUE(at::allclose(y, x * plan.kept.any(1, true), 0, 1e-6));
}

TEST_P(EveryRouter, GradientsMatchFiniteDifferences) {
  RoutedLayer s(GetParam(), 6, 5, 3, Precision::kFloat64);
  s.input.x.set_requires_grad(true);
  const at::Tensor weight = testing::random_tensor({kSequences, kLength, 6}, 6);
  const auto loss = [&] {
    const MoeOutput o = s.layer.forward(s.input);
    return (o.y * weight).sum() + .5 * o.balance;
  };
  loss().backward();
  const auto value = [&] { return loss().item<double>(); };
  // Small steps: a token whose two best experts are nearly equal must not change sides.
  testing::expect_gradient("x", s.input.x, s.input.x.grad().clone(), value, 12, 1e-6, 2e-6);
  for (Parameter& p : s.parameters.all()) {
    testing::expect_gradient(p.name(), p.value(), p.gradient(), value, 8, 1e-6, 2e-6);
  }
}

TEST_P(EveryRouter, TheRouterGetsAGradientWithAndWithoutTheBalanceLoss) {
  RoutedLayer s(GetParam(), 16, 24, 5, Precision::kFloat32);
  Parameter* classifier = s.parameters.find("m.router.classifier.weight");
  const MoeOutput output = s.layer.forward(s.input);
  if (!classifier) {
    EXPECT_FALSE(output.balance.requires_grad());
    return;
  }
  output.y.square().sum().backward();
  const at::Tensor alone = classifier->gradient().clone();
  EXPECT_GT(alone.abs().max().item<double>(), 1e-4);
  if (!router_kind(s.config.moe).balanced) {
    EXPECT_EQ(output.balance.item<float>(), 0.0f);
    return;
  }
  s.parameters.clear_gradients();
  const MoeOutput again = s.layer.forward(s.input);
  (again.y.square().sum() + 10 * again.balance).backward();
  EXPECT_GT((classifier->gradient() - alone).abs().max().item<double>(), 1e-4);
}

TEST_P(EveryRouter, SelectivePrecisionRoutesAsFloat32AndComputesTheSameToBfloat16) {
  RoutedLayer whole(GetParam(), 16, 24, 5, Precision::kFloat32);
  RoutedLayer selective(GetParam(), 16, 24, 5, Precision::kBfloat16Selective);
  selective.input.x = selective.input.x.to(at::kBFloat16);
  whole.input.x = selective.input.x.to(at::kFloat);
  const MoeOutput expected = whole.layer.forward(whole.input);
  const MoeOutput output = selective.layer.forward(selective.input);
  EXPECT_TRUE(at::equal(output.plan.expert, expected.plan.expert));
  EXPECT_TRUE(at::equal(output.plan.kept, expected.plan.kept));
  EXPECT_EQ(output.plan.gate.scalar_type(), at::kFloat);
  const at::Tensor difference = (output.y.to(at::kFloat) - expected.y).abs();
  EXPECT_LE(difference.max().item<double>(), .02 * expected.y.abs().max().item<double>());
  output.y.to(at::kFloat).square().sum().backward();
  for (Parameter& p : selective.parameters.all()) {
    EXPECT_TRUE(at::isfinite(p.gradient()).all().item<bool>()) << p.name();
    EXPECT_GT(p.gradient().abs().max().item<double>(), 0) << p.name();
  }
}

// F14: no more places than tokens, choices and capacity allow; none at padding; a batch cut between
// groups is routed as the whole.
TEST_P(EveryRouter, PlacesAreCountedAndDoNotDependOnTheSplit) {
  RoutedLayer s(GetParam(), 16, 24, 5, Precision::kFloat32);
  const MoeOutput whole = s.layer.forward(s.input);
  const int64_t capacity = expert_capacity(s.config.moe, kGroup, true);
  const at::Tensor taken =
      by_group(testing::combine_weights(whole.plan).gt(0).to(at::kLong)).sum(1);
  EXPECT_LE(taken.max().item<int64_t>(), capacity);
  if (s.config.moe.router == std::string("expert_choice")) {
    EXPECT_EQ(taken.min().item<int64_t>(), capacity);
  }
  EXPECT_EQ(whole.plan.offsets.back(), whole.plan.kept.sum().item<int64_t>());
  EXPECT_EQ(whole.stats.dropped, whole.stats.tokens - whole.plan.kept.any(1).sum().item<double>());
  if (!routing_rules(s.config.moe).route_padding) {
    EXPECT_EQ(whole.stats.tokens, kTokens - 4);
    EXPECT_FALSE(whole.plan.kept.narrow(0, kLength + 8, 4).any().item<bool>());
  }
  for (int64_t begin = 0; begin < kSequences; begin += 2) {
    MoeInput part = s.input;
    part.x = s.input.x.narrow(0, begin, 2);
    part.segments = s.input.segments.narrow(0, begin, 2);
    part.ids = s.input.ids.narrow(0, begin, 2);
    part.first_sequence = begin;
    const MoeOutput half = s.layer.forward(part);
    EXPECT_TRUE(at::equal(half.plan.kept, whole.plan.kept.narrow(0, begin * kLength, kGroup)));
    EXPECT_TRUE(at::allclose(half.y, whole.y.narrow(0, begin, 2), 0, 1e-6));
  }
}

INSTANTIATE_TEST_SUITE_P(Routers, EveryRouter, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace switchyard
