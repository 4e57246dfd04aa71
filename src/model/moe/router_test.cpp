// Router, capacity and losses against published vectors: F1, F2 (flaxformer and transformers), F3
// (transformers' equivalency test), F4 (flaxformer's scatter router), F7 (DeepSpeed's drop
// policies).
#include "model/moe/router.h"

#include <gtest/gtest.h>

#include "model/moe/router_losses.h"
#include "model/moe/router_test_tools.h"
#include "model/moe/switch_router.h"
#include "tests/gradient_check.h"

namespace switchyard {
namespace {

using testing::groups;
using testing::kept_slots;
using testing::matrix;
using testing::to_vector;

TEST(RouterLosses, BalanceLossMatchesF1) {
  const at::Tensor probabilities = matrix({.35490513, .60419905, .4275843, .23061597, .32985854,
                                           .43953657, .25099766, .27730572, .7678207, .71474564},
                                          2);
  const at::Tensor expert = at::tensor({0, 1, 1, 0, 0}, at::kLong);
  EXPECT_NEAR(balance_loss(probabilities, expert, {5}).item<double>(), 0.8741045, 1e-6);
}

TEST(RouterLosses, ZLossMatchesF2) {
  const at::Tensor logits =
      matrix({-4.2124424, 3.891939,   -3.6481273, 1.8849981,  .32625437,  2.918651,  .84758997,
              -4.556842,  -3.32062,   4.6977115,  -.15439987, .44086337,  3.4467149, 4.3436565,
              -4.7224274, -4.264637,  -2.224406,  -2.5318158, -1.3832569, 1.1891162, -2.320062,
              -.44705987, 4.289819,   -.00662684, .99470854,  -.6992364,  .25503993, 4.2952085,
              3.5937333,  -3.2408535, -4.298278,  4.426601,   .7669008,   2.6588762, 2.4505413,
              4.6051874,  .23330331,  -3.0845237, .6262374,   -2.9865491, .7595146,  -2.1099675,
              -4.155346,  -2.8326452, 2.3771453,  1.004138,   -3.1781673, .7581556},
             4);
  EXPECT_NEAR(router_z_loss(logits, {}).item<double>(), 13.786719, 2e-5);
}

TEST(SwitchRouter, MatchesF3InFloat32) {
  const at::Tensor x = matrix(
      {.6433916,  .18188512, .02240455, .563781,   .5526401,  .0958724,  .34253013, .03644359,
       .08744538, .7909105,  .35205448, .53364205, .02900076, .4168595,  .5802449,  .91486526,
       .27414513, .14991808, .9383501,  .5209162,  .51207185, .90618336, .7309413,  .95533276},
      4);
  const at::Tensor w = matrix(
      {.02008116, .00620062, -.00811031, -.00031623, -.03542127, .02703803, .02335377, -.02971946},
      2);
  const at::Tensor logits = at::mm(x, w);
  const RouterInput input = groups(logits, 3, 1);
  const RoutingPlan plan = SwitchRouter(ModelConfig()).route(input);
  EXPECT_EQ(to_vector(plan.expert), (std::vector<int64_t>{0, 1, 0, 0, 1, 0}));
  const double gates[] = {.509008, .503134, .500346, .502367, .507081, .501273};
  for (int i = 0; i < 6; ++i) EXPECT_NEAR(plan.gate[i][0].item<double>(), gates[i], 1e-5);
  // Capacity 1 keeps tokens 0 and 1 of each group and drops token 2.
  EXPECT_EQ(to_vector(plan.kept.to(at::kLong)), (std::vector<int64_t>{1, 1, 0, 1, 1, 0}));
  EXPECT_EQ(to_vector(plan.row_choice), (std::vector<int64_t>{0, 3, 1, 4}));
  EXPECT_EQ(plan.offsets, (std::vector<int64_t>{0, 2, 4}));
  const at::Tensor expert = plan.expert.select(1, 0).contiguous();
  EXPECT_NEAR(balance_loss(input.probabilities, expert, input.group_ends).item<double>(), 1.000308,
              1e-5);
  EXPECT_NEAR(router_z_loss(logits, {}).item<double>(), 0.4789799, 1e-5);
}

TEST(SwitchRouter, MatchesF4InFloat32) {
  const at::Tensor x =
      matrix({.2989005, .7948869, .7892345, .5163237, .7588451, .2956616, .4151917, .7141013,
              .5717313, .8852851, .1450557, .6147673, .1464163, .8421757, .3347827, .0047736,
              .6188073, .2222916, .9003165, .2386625, .422883,  .0351841, .322371,  .5642085,
              .663191,  .6108652, .1867135, .3844516, .608707,  .0675734, .2821724, .8214184},
             4);
  const at::Tensor w = matrix(
      {-.02974924, -.04237952, -.02068238, .04114612, -.00269716, .00019628, .01192862, -.01345774,
       .01225707, .01388734, -.00246502, .01163637, -.02843358, .00192379, .02525608, -.01825753},
      4);
  const at::Tensor logits = at::mm(x, w);
  const RouterInput input = groups(logits, 4, 2);
  const RoutingPlan plan = SwitchRouter(ModelConfig()).route(input);
  // A bfloat16 router would send two of the eight elsewhere (2 3 2 2 | 3 2 3 2).
  EXPECT_EQ(to_vector(plan.expert), (std::vector<int64_t>{2, 3, 2, 2, 3, 3, 3, 3}));
  EXPECT_EQ(to_vector(plan.kept.to(at::kLong)), (std::vector<int64_t>{1, 1, 1, 0, 1, 1, 0, 0}));
  const at::Tensor expert = plan.expert.select(1, 0).contiguous();
  EXPECT_NEAR(balance_loss(input.probabilities, expert, input.group_ends).item<double>(), 1.0183134,
              1e-5);
  EXPECT_NEAR(router_z_loss(logits, {}).item<double>(), 1.9064494, 1e-5);
}

// F7: the best k experts of every token by probability, capacity 2.
RoutingPlan best_of_f7(const at::Tensor& logits, int64_t k, PlaceOrder order) {
  const RouterInput input = groups(logits, logits.size(0), 2);
  const auto [gate, expert] = input.probabilities.topk(k, -1);
  RoutingPlan plan;
  plan.num_tokens = logits.size(0);
  plan.num_choices = k;
  plan.num_experts = logits.size(1);
  plan.expert = expert;
  plan.gate = gate;
  assign_places(plan, input, {order});
  return plan;
}

RoutingPlan top2_of_f7(PlaceOrder order) {
  return best_of_f7(matrix({.11, .2, .1, .3, .3, .4, .11, .1, .11, .1, .6, .5, .1, .11, .7, .8}, 4),
                    2, order);
}

// Four tokens, six experts, three choices.
RoutingPlan top3_of_f7(PlaceOrder order) {
  return best_of_f7(
      matrix({.5858, .4801, .6269, .5397, .9722, .7034, .5445, .6332, .4519, .6308, .0519, .6450,
              .4874, .8110, .7467, .8474, .0277, .3068, .8570, .6714, .5310, .3274, .4836, .9892},
             6),
      3, order);
}

TEST(AssignPlaces, DropsByProbabilityAsF7) {
  using Slots = std::vector<std::array<int64_t, 3>>;
  EXPECT_EQ(kept_slots(top2_of_f7(PlaceOrder::kByProbability)),
            (Slots{{0, 1, 0}, {1, 0, 0}, {1, 1, 1}, {2, 2, 0}, {2, 3, 0}, {3, 2, 1}, {3, 3, 1}}));
}

TEST(AssignPlaces, DropsByPositionAsF7) {
  using Slots = std::vector<std::array<int64_t, 3>>;
  EXPECT_EQ(kept_slots(top2_of_f7(PlaceOrder::kTokenMajor)),
            (Slots{{0, 1, 0}, {0, 3, 0}, {1, 0, 0}, {1, 1, 1}, {2, 2, 0}, {2, 3, 1}, {3, 2, 1}}));
}

TEST(AssignPlaces, DropsThreeChoicesByProbabilityAsF7) {
  using Slots = std::vector<std::array<int64_t, 3>>;
  EXPECT_EQ(kept_slots(top3_of_f7(PlaceOrder::kByProbability)), (Slots{{0, 2, 0},
                                                                       {0, 4, 0},
                                                                       {1, 1, 0},
                                                                       {1, 3, 0},
                                                                       {1, 5, 0},
                                                                       {2, 1, 1},
                                                                       {2, 2, 1},
                                                                       {2, 3, 1},
                                                                       {3, 0, 0},
                                                                       {3, 5, 1}}));
}

TEST(AssignPlaces, DropsThreeChoicesByPositionAsF7) {
  using Slots = std::vector<std::array<int64_t, 3>>;
  EXPECT_EQ(kept_slots(top3_of_f7(PlaceOrder::kTokenMajor)), (Slots{{0, 2, 0},
                                                                    {0, 4, 0},
                                                                    {0, 5, 0},
                                                                    {1, 1, 0},
                                                                    {1, 3, 0},
                                                                    {1, 5, 1},
                                                                    {2, 1, 1},
                                                                    {2, 2, 1},
                                                                    {2, 3, 1},
                                                                    {3, 0, 0}}));
}

TEST(AssignPlaces, CapacityAboveTheTokensKeepsAllAsF7) {
  const at::Tensor logits = testing::random_tensor({8, 4}, 3, at::kFloat);
  EXPECT_EQ(SwitchRouter(ModelConfig()).route(groups(logits, 8, 16)).num_rows(), 8);
}

TEST(AssignPlaces, FirstChoicesOfAllTokensComeBeforeSecondOnes) {
  // Expert 3 is wanted by tokens 0 and 3 first, by token 2 second: capacity 2 drops token 2.
  const auto slots = kept_slots(top2_of_f7(PlaceOrder::kChoiceMajor));
  EXPECT_EQ(std::count_if(slots.begin(), slots.end(),
                          [](const auto& s) { return s[0] == 2 && s[1] == 3; }),
            0);
  EXPECT_EQ(std::count_if(slots.begin(), slots.end(),
                          [](const auto& s) { return s[0] == 3 && s[1] == 3; }),
            1);
}

TEST(SwitchRouter, TiesGoToTheLowestIndexAndPaddingIsNotRouted) {
  RouterInput input = groups(at::zeros({4, 3}), 4, 4);
  input.valid = at::arange(4).ne(1);
  const RoutingPlan plan = SwitchRouter(ModelConfig()).route(input);
  EXPECT_EQ(to_vector(plan.expert), (std::vector<int64_t>{0, -1, 0, 0}));
  EXPECT_EQ(plan.offsets, (std::vector<int64_t>{0, 3, 3, 3}));
}

TEST(ExpertCapacity, FollowsThePaper) {
  MoeConfig config;
  config.num_experts = 8;
  config.min_capacity = 4;
  EXPECT_EQ(expert_capacity(config, 512, true), 80);    // 1.25 * 512 / 8
  EXPECT_EQ(expert_capacity(config, 512, false), 128);  // 2.0
  EXPECT_EQ(expert_capacity(config, 10, true), 4);      // the floor
  EXPECT_EQ(expert_capacity(config, 3, true), 3);       // never above the group
  config.capacity_factor_train = 1e6;
  EXPECT_EQ(expert_capacity(config, 100, true), 100);
}

TEST(RouterLosses, UniformRouterGivesExactlyOne) {
  for (const int64_t experts : {1, 2, 3, 7, 8, 32, 128}) {
    const int64_t tokens = experts * 6;
    const at::Tensor p =
        at::full({tokens, experts}, 1.0 / static_cast<double>(experts), at::kFloat);
    const at::Tensor expert = at::arange(tokens, at::kLong).remainder(experts);
    EXPECT_EQ(balance_loss(p, expert, {tokens}).item<float>(), 1.0f) << experts;
  }
}

TEST(RouterLosses, GradientsMatchFiniteDifferences) {
  at::Tensor logits = testing::random_tensor({12, 5}, 7).set_requires_grad(true);
  const at::Tensor expert = logits.detach().argmax(-1);
  const at::Tensor valid = at::arange(12).ne(3);
  const at::Tensor masked = expert.masked_fill(valid.logical_not(), -1);
  const auto loss = [&] {
    const at::Tensor p = at::softmax(logits, -1);
    return balance_loss(p, masked, {4, 12}) * 0.7 + router_z_loss(logits, valid) * 0.3;
  };
  loss().backward();
  testing::expect_gradient(
      "logits", logits, logits.grad(), [&] { return loss().item<double>(); }, 60);
}

}  // namespace
}  // namespace switchyard
