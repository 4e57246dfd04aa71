// The routers beside Switch against published vectors and by hand. F4, F5: flaxformer's
// routing_test.py; its inputs are uniform draws of a fixed key, printed here, and its router rounds
// every step of its softmax to bfloat16, which makes the ties that these tables show.
#include <gtest/gtest.h>

#include "model/moe/expert_choice_router.h"
#include "model/moe/hash_router.h"
#include "model/moe/moe_layer.h"
#include "model/moe/ntlb_router.h"
#include "model/moe/router_choices.h"
#include "model/moe/router_losses.h"
#include "model/moe/router_test_tools.h"
#include "model/moe/switch_max_router.h"
#include "model/moe/switch_router.h"
#include "model/moe/top2_router.h"
#include "tests/gradient_check.h"

namespace switchyard {
namespace {

using testing::combine_weights;
using testing::groups;
using testing::groups_of;
using testing::kept_slots;
using testing::matrix;
using testing::to_vector;
using Slots = std::vector<std::array<int64_t, 3>>;

ModelConfig config_of(const std::string& router, int64_t experts) {
  ModelConfig config;
  config.moe.router = router;
  config.moe.num_experts = experts;
  return config;
}

at::Tensor bfloat16_logits(const at::Tensor& x, const at::Tensor& w) {
  return at::mm(x.to(at::kBFloat16), w.to(at::kBFloat16));
}

at::Tensor bfloat16_softmax(const at::Tensor& logits) {
  const at::Tensor e = (logits - logits.amax(1, /*keepdim=*/true)).exp();
  return e / e.sum(1, /*keepdim=*/true);
}

RouterInput bfloat16_groups(const at::Tensor& logits, int64_t group_tokens, int64_t capacity) {
  return groups_of(bfloat16_softmax(logits), group_tokens, capacity);
}

/// Mean of (log Z)^2, every step but the mean in bfloat16.
double bfloat16_z_loss(const at::Tensor& logits) {
  const at::Tensor largest = logits.amax(1);
  const at::Tensor log_z = (logits - largest.unsqueeze(1)).exp().sum(1).log() + largest;
  return log_z.square().to(at::kDouble).mean().item<double>();
}

/// flaxformer's weights are bfloat16: one unit in the last place is 2^-9 between 1/4 and 1/2.
void expect_weights(const RoutingPlan& plan, const at::Tensor& expected) {
  const at::Tensor found = combine_weights(plan);
  EXPECT_TRUE(at::equal(found.gt(0), expected.gt(0))) << found;
  EXPECT_LE((found - expected).abs().max().item<double>(), 0x1p-9) << found;
}

// Two groups of four tokens, d = 4 and 3.
at::Tensor f5_tokens_of_4() {
  return matrix({.2989005, .7948869, .7892345, .5163237, .7588451, .2956616, .4151917, .7141013,
                 .5717313, .8852851, .1450557, .6147673, .1464163, .8421757, .3347827, .0047736,
                 .6188073, .2222916, .9003165, .2386625, .422883,  .0351841, .322371,  .5642085,
                 .663191,  .6108652, .1867135, .3844516, .608707,  .0675734, .2821724, .8214184},
                4);
}

at::Tensor f5_weights_of_4() {
  return matrix(
      {-.02974924, -.04237952, -.02068238, .04114612, -.00269716, .00019628, .01192862, -.01345774,
       .01225707, .01388734, -.00246502, .01163637, -.02843358, .00192379, .02525608, -.01825753},
      4);
}

ModelConfig f5_top2(int64_t experts) {
  ModelConfig config = config_of("top2", experts);
  config.moe.profile = "t5x";
  config.moe.second_choice = "all";
  config.moe.batch_prioritized = true;
  return config;
}

TEST(SelectivePrecision, ABfloat16RouterSendsTokensOfF4ElsewhereAndOursDoesNot) {
  const at::Tensor logits = bfloat16_logits(f5_tokens_of_4(), f5_weights_of_4());
  ModelConfig config = config_of("switch", 4);
  config.d_model = 4;
  config.moe.group_sequences = 1;
  config.moe.min_capacity = 2;
  config.moe.capacity_factor_eval = 2.0;  // two places for each four tokens
  const RouterInput rounded = bfloat16_groups(logits, 4, 2);
  const RoutingPlan published = SwitchRouter(config).route(rounded);
  EXPECT_EQ(to_vector(published.expert), (std::vector<int64_t>{2, 3, 2, 2, 3, 2, 3, 2}));
  expect_weights(published,
                 matrix({0, 0, .25390625, 0,         0, 0, 0,         .2578125, 0, 0, .25585938, 0,
                         0, 0, 0,         0,         0, 0, 0,         .2578125, 0, 0, .25390625, 0,
                         0, 0, 0,         .25585938, 0, 0, .25585938, 0},
                        4));
  EXPECT_NEAR(bfloat16_z_loss(logits), 1.8994141, 1e-6);

  ParameterSet parameters(at::kCPU, Precision::kBfloat16Selective);
  const MoeLayer layer(parameters, "m", "encoder.0", config);
  parameters.initialize(1);
  {
    const c10::NoGradGuard no_grad;
    parameters.find("m.router.classifier.weight")->value().copy_(f5_weights_of_4().t());
    parameters.refresh_compute();
  }
  MoeInput input;
  input.x = f5_tokens_of_4().view({2, 4, 4}).to(at::kBFloat16);
  const MoeOutput output = layer.forward(input);
  EXPECT_EQ(to_vector(output.plan.expert), (std::vector<int64_t>{2, 3, 2, 2, 3, 3, 3, 3}));
  EXPECT_EQ(to_vector(output.plan.kept.to(at::kLong)),
            (std::vector<int64_t>{1, 1, 1, 0, 1, 1, 0, 0}));
  EXPECT_EQ(output.y.scalar_type(), at::kBFloat16);
}

TEST(Top2Router, MatchesTheScatterRouterOfF5) {
  const at::Tensor logits = bfloat16_logits(f5_tokens_of_4(), f5_weights_of_4());
  const RouterInput input = bfloat16_groups(logits, 4, 2);
  const ModelConfig config = f5_top2(4);
  const RoutingPlan plan = Top2Router(config).route(input);
  expect_weights(plan, matrix({0, 0, .25390625, 0,         0,   0, 0,         .2578125,
                               0, 0, .25585938, .25390625, .25, 0, 0,         0,
                               0, 0, 0,         .2578125,  0,   0, .25390625, 0,
                               0, 0, 0,         .25585938, 0,   0, .25585938, 0},
                              4));
  const BalanceRule rule = routing_rules(config.moe).balance;
  const at::Tensor wide = input.probabilities.to(at::kFloat);
  const BalanceTerms terms =
      balance_terms(wide, counted_choices(plan, wide, rule), {}, input.group_ends, rule);
  EXPECT_NEAR(balance_loss(terms, at::kFloat).item<double>(), 2.0289307, 1e-6);
  EXPECT_NEAR(bfloat16_z_loss(logits), 1.8994141, 1e-6);
}

TEST(Top2Router, MatchesTheMaskRouterOfF5) {
  const at::Tensor x = matrix(
      {.64287424, .18250856, .02250168, .56827813, .54966944, .09616847, .33971643, .03658328,
       .08657935, .78805012, .35356414, .53414857, .02886772, .41380706, .58349836, .9183985,
       .27436718, .14962241, .93356752, .52282345, .51710677, .91216993, .73152423, .95592791},
      3);
  const at::Tensor w = matrix({.02736656, -.00253537, .04682618, .00928149, .04933621, -.00275501,
                               .00751786, .04295348, -.00503795},
                              3);
  const RouterInput input = bfloat16_groups(bfloat16_logits(x, w), 4, 1);
  expect_weights(Top2Router(f5_top2(3)).route(input),
                 matrix({.33203125, 0,         .3359375, 0, .3359375, 0,        0, 0, 0, 0, 0, 0,
                         .33007812, .34179688, 0,        0, 0,        .3359375, 0, 0, 0, 0, 0, 0},
                        3));
}

TEST(ExpertChoiceRouter, MatchesF5) {
  const at::Tensor x = matrix(
      {.64339161, .18188512, .02240455, .56378102, .55264008, .0958724,  .34253013, .03644359,
       .08744538, .79091048, .35205448, .53364205, .02900076, .41685951, .5802449,  .91486526,
       .27414513, .14991808, .93835008, .52091622, .51207185, .90618336, .7309413,  .95533276},
      3);
  const at::Tensor w =
      matrix({-.00107201, .01544739, -.0087319, .01314363, .03530733, .03709853}, 2);
  const at::Tensor logits = bfloat16_logits(x, w);
  const RoutingPlan plan =
      ExpertChoiceRouter(config_of("expert_choice", 2)).route(bfloat16_groups(logits, 4, 2));
  expect_weights(plan, matrix({.49609375, .50390625, 0, .50390625, .49804688, 0, 0, 0, .49804688, 0,
                               .49414062, 0, 0, .5078125, 0, .5078125},
                              2));
  EXPECT_NEAR(bfloat16_z_loss(logits), .5041504, 1e-6);
}

// F5, test_routers_ignore_padding: six tokens a group, some of them padding, one place.
RouterInput padded_f5() {
  const at::Tensor x = matrix(
      {.64339161, .18188512, .02240455, .56378102, .55264008, .0958724,  .34253013, .03644359,
       .08744538, .79091048, .35205448, .53364205, .02900076, .41685951, .5802449,  .91486526,
       .27414513, .14991808, .93835008, .52091622, .51207185, .90618336, .7309413,  .95533276},
      2);
  const at::Tensor w = matrix({.0248285, .00663428, .00632414, -.00369826}, 2);
  RouterInput input = bfloat16_groups(bfloat16_logits(x, w), 6, 1);
  input.valid = at::tensor({0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0}, at::kLong).to(at::kBool);
  return input;
}

TEST(Top2Router, GivesPaddingNoPlaceAsF5) {
  expect_weights(Top2Router(f5_top2(2)).route(padded_f5()),
                 matrix({0, 0, .50390625, .49804688, 0, 0, 0, 0, 0, 0, 0, 0,
                         0, 0, .50390625, .49414062, 0, 0, 0, 0, 0, 0, 0, 0},
                        2));
}

TEST(ExpertChoiceRouter, GivesPaddingNoPlaceAsF5) {
  expect_weights(ExpertChoiceRouter(config_of("expert_choice", 2)).route(padded_f5()),
                 matrix({0, 0, .50390625, .49804688, 0, 0,         0, 0, 0, 0, 0, 0,
                         0, 0, .50390625, 0,         0, .49804688, 0, 0, 0, 0, 0, 0},
                        2));
}

TEST(Top2Router, GatesSumToOneAndSecondChoicesFollowTheirPolicy) {
  // Second gates: 0.4, 0.1, 1/9.
  const at::Tensor p = matrix({.6, .4, 0, .9, .1, 0, .1, .1, .8}, 3);
  const auto second = [&](const std::string& policy, double threshold) {
    ModelConfig config = config_of("top2", 3);
    config.moe.second_choice = policy;
    config.moe.second_threshold = threshold;
    return to_vector(Top2Router(config).route(groups_of(p, 3, 3)).expert.select(1, 1));
  };
  EXPECT_EQ(second("all", .2), (std::vector<int64_t>{1, 1, 0}));
  EXPECT_EQ(second("none", .2), (std::vector<int64_t>{-1, -1, -1}));
  EXPECT_EQ(second("threshold", .2), (std::vector<int64_t>{1, -1, -1}));
  EXPECT_EQ(second("threshold", .105), (std::vector<int64_t>{1, -1, 0}));
  const RoutingPlan plan = Top2Router(config_of("top2", 3)).route(groups_of(p, 3, 3));
  EXPECT_TRUE(at::allclose(plan.gate.sum(1), at::ones({3}), 0, 1e-6));
  EXPECT_NEAR(plan.gate[2][0].item<double>(), 8.0 / 9, 1e-6);
}

TEST(Top2Router, RandomPolicyUsesTheSecondChoiceWithItsChance) {
  // Gate 0.05 of a threshold of 0.2: a quarter of the tokens; gate 0.3: all of them.
  const int64_t tokens = 20000;
  const at::Tensor rare = matrix({.95, .05}, 2).expand({tokens, 2});
  RouterInput input = groups_of(rare.contiguous(), tokens, tokens);
  input.draws = RandomStream(7, kRandomExplore, 3, 5);
  const Top2Router router(config_of("top2", 2));
  const auto used = [&] { return router.route(input).expert.select(1, 1).ge(0); };
  EXPECT_NEAR(used().to(at::kFloat).mean().item<double>(), .25, .01);
  EXPECT_TRUE(at::equal(used(), used()));
  // Drawn by the token's number in the global batch: a slice draws what the whole did.
  const at::Tensor whole = used();
  RouterInput slice = groups_of(rare.narrow(0, 0, 500).contiguous(), 500, 500);
  slice.draws = input.draws;
  slice.first_token = 1000;
  EXPECT_TRUE(at::equal(router.route(slice).expert.select(1, 1).ge(0), whole.narrow(0, 1000, 500)));
  input.probabilities = matrix({.7, .3}, 2).expand({tokens, 2}).contiguous();
  EXPECT_TRUE(used().all().item<bool>());
}

TEST(Top2Router, GatesAreDifferentiableWhereSecondChoicesAreLeftOut) {
  ModelConfig config = config_of("top2", 4);
  config.moe.second_choice = "none";
  at::Tensor logits = testing::random_tensor({6, 4}, 1).set_requires_grad(true);
  const RoutingPlan plan = Top2Router(config).route(groups(logits, 6, 6));
  plan.gate.select(1, 0).sum().backward();
  EXPECT_GT(logits.grad().abs().sum().item<double>(), 0.01);
}

TEST(NtlbRouter, UnplacedTokensTryTheirNextExperts) {
  // All want expert 0 (one place); then 1, 2: the fourth token finds nothing among its top three.
  const at::Tensor p = matrix({.4, .3, .2, .1}, 4).expand({4, 4}).contiguous();
  ModelConfig config = config_of("ntlb", 4);
  config.moe.ntlb_top_k = 3;
  const RoutingPlan plan = NtlbRouter(config).route(groups_of(p, 4, 1));
  EXPECT_EQ(kept_slots(plan), (Slots{{0, 0, 0}, {1, 1, 0}, {2, 2, 0}}));
  EXPECT_TRUE(at::allclose(combine_weights(plan).sum(1), matrix({.4, .3, .2, 0}, 4).view(-1)));
  config.moe.ntlb_top_k = 9;  // more than there are experts
  EXPECT_EQ(NtlbRouter(config).route(groups_of(p, 4, 1)).num_rows(), 4);
}

TEST(NtlbRouter, WithRoomItIsSwitch) {
  const RouterInput input = groups(testing::random_tensor({40, 6}, 2, at::kFloat), 20, 20);
  const RoutingPlan ours = NtlbRouter(config_of("ntlb", 6)).route(input);
  const RoutingPlan plain = SwitchRouter(config_of("switch", 6)).route(input);
  EXPECT_TRUE(at::equal(combine_weights(ours), combine_weights(plain)));
}

TEST(SwitchMaxRouter, AnExpertKeepsItsLargestGates) {
  const at::Tensor p = matrix({.6, .4, .8, .2, .3, .7, .8, .2, .9, .1}, 2);
  const RoutingPlan plan = SwitchMaxRouter(config_of("switch_max", 2)).route(groups_of(p, 5, 2));
  // Of 0.6, 0.8, 0.8, 0.9 expert 0 keeps 0.9 and, of equal ones, the earlier.
  EXPECT_EQ(kept_slots(plan), (Slots{{1, 0, 0}, {2, 1, 0}, {4, 0, 1}}));
}

TEST(SwitchRouter, BatchPrioritizedOrderDropsTheLeastConfident) {
  ModelConfig config = config_of("switch", 2);
  config.moe.batch_prioritized = true;
  const at::Tensor p = matrix({.6, .4, .8, .2, .3, .7, .7, .3, .9, .1}, 2);
  const RoutingPlan plan = SwitchRouter(config).route(groups_of(p, 5, 2));
  EXPECT_EQ(to_vector(plan.kept.to(at::kLong)), (std::vector<int64_t>{0, 1, 1, 0, 1}));
}

TEST(ExpertChoiceRouter, ATokenThatNobodyTookIsDroppedNotPadding) {
  const at::Tensor p = matrix({.9, .1, .8, .2, .55, .45, .1, .9}, 2);
  RouterInput input = groups_of(p, 4, 1);
  input.valid = at::tensor({1, 1, 1, 0}, at::kLong).to(at::kBool);
  const RoutingPlan plan = ExpertChoiceRouter(config_of("expert_choice", 2)).route(input);
  EXPECT_EQ(kept_slots(plan), (Slots{{0, 0, 0}, {2, 1, 0}}));
  EXPECT_EQ(to_vector(plan.expert), (std::vector<int64_t>{0, -1, 0, -1, 1, -1, -1, -1}));
  EXPECT_EQ(to_vector(plan.kept.to(at::kLong)), (std::vector<int64_t>{1, 0, 0, 0, 1, 0, 0, 0}));
}

TEST(HashRouter, BalancedDealsOutTheVocabulary) {
  ModelConfig config = config_of("hash", 8);
  config.vocab_size = 1003;
  const HashRouter router(config);
  std::vector<int64_t> owned(8, 0);
  for (int64_t id = 0; id < 1003; ++id) ++owned[static_cast<size_t>(router.expert_of(id))];
  EXPECT_GE(*std::min_element(owned.begin(), owned.end()), 125);
  EXPECT_LE(*std::max_element(owned.begin(), owned.end()), 126);
}

TEST(HashRouter, IsAFixedFunctionOfTheId) {
  ModelConfig config = config_of("hash", 8);
  config.moe.hash = "plain";
  // Values of a trained model's definition: they must never change.
  std::vector<int64_t> plain, balanced;
  for (int64_t id = 0; id < 8; ++id) plain.push_back(HashRouter(config).expert_of(id));
  config.moe.hash = "balanced";
  for (int64_t id = 0; id < 8; ++id) balanced.push_back(HashRouter(config).expert_of(id));
  EXPECT_EQ(plain, (std::vector<int64_t>{3, 3, 1, 2, 7, 4, 7, 6}));
  EXPECT_EQ(balanced, (std::vector<int64_t>{0, 0, 2, 4, 0, 6, 6, 3}));
  RouterInput input;
  input.ids = at::tensor({5, 3, 5, 5, 1}, at::kLong);
  input.valid = at::tensor({1, 1, 1, 1, 0}, at::kLong).to(at::kBool);
  input.group_ends = {5};
  input.capacity = {2};
  const RoutingPlan plan = HashRouter(config).route(input);
  EXPECT_EQ(plan.expert[0][0].item<int64_t>(), balanced[5]);
  EXPECT_EQ(plan.expert[4][0].item<int64_t>(), -1);
  EXPECT_FALSE(plan.kept[3][0].item<bool>());  // the third 5
  EXPECT_TRUE(at::equal(plan.gate, at::ones({5, 1})));
}

TEST(DrawExperts, FollowsTheSoftmaxAtItsTemperature) {
  const int64_t tokens = 40000;
  const at::Tensor p = matrix({.5, .3, .2, 0}, 4).expand({tokens, 4}).contiguous();
  RouterInput input = groups_of(p, tokens, tokens);
  input.draws = RandomStream(3, kRandomExplore);
  const auto shares = [&](double temperature) {
    return at::one_hot(draw_experts(input, temperature).squeeze(1), 4).to(at::kFloat).mean(0);
  };
  EXPECT_TRUE(at::allclose(shares(1.0), p[0], 0, .01));
  EXPECT_TRUE(at::allclose(shares(.5), matrix({.25, .09, .04, 0}, 4)[0] / .38, 0, .01));
  EXPECT_EQ(shares(1e-3)[0].item<float>(), 1.0f);
}

TEST(SwitchRouter, SamplesInTrainingOnlyWithTheProbabilityOfTheDrawnExpertAsGate) {
  ModelConfig config = config_of("switch", 6);
  config.moe.exploration = "sample";
  const SwitchRouter router(config);
  RouterInput input = groups(testing::random_tensor({200, 6}, 4, at::kFloat), 200, 200);
  const at::Tensor best = best_experts(input.probabilities, 1);
  EXPECT_TRUE(at::equal(router.route(input).expert, best));
  input.training = true;
  const RoutingPlan drawn = router.route(input);
  EXPECT_FALSE(at::equal(drawn.expert, best));
  EXPECT_TRUE(at::equal(drawn.gate, input.probabilities.gather(1, drawn.expert)));
}

TEST(BestExperts, OrdersByProbabilityThenIndex) {
  const at::Tensor p = matrix({.2, .4, .2, .2, .25, .25, .25, .25}, 4);
  EXPECT_EQ(to_vector(best_experts(p, 3)), (std::vector<int64_t>{1, 0, 2, 0, 1, 2}));
}

}  // namespace
}  // namespace switchyard
