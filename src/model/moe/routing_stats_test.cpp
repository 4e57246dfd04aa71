// Statistics of a router against plain loops in double, over more tokens than one block holds.
#include "model/moe/routing_stats.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/gradient_check.h"

namespace switchyard {
namespace {

constexpr int64_t kTokens = 1300, kExperts = 5;

struct Routed {
  at::Tensor logits = testing::random_tensor({kTokens, kExperts}, 1, at::kFloat) * 3;
  at::Tensor probabilities = at::softmax(logits, -1);
  RoutingPlan plan;

  /// Best experts; every seventh token is padding and every fifth finds no place.
  Routed() {
    plan.num_tokens = kTokens;
    plan.num_experts = kExperts;
    plan.expert = probabilities.argmax(1, /*keepdim=*/true);
    plan.kept = at::ones({kTokens, 1}, at::kBool);
    for (int64_t t = 0; t < kTokens; ++t) {
      if (t % 7 == 0) plan.expert[t][0] = -1;
      if (t % 5 == 0) plan.kept[t][0] = false;
    }
  }
  RoutingStats measured() const {
    return measure_routing("encoder.1", plan, logits, probabilities);
  }
};

TEST(MeasureRouting, EqualsPlainLoops) {
  const Routed routed;
  const RoutingStats stats = routed.measured();
  double tokens = 0, dropped = 0, entropy = 0, confidence = 0, z = 0;
  std::vector<double> load(kExperts, 0.0);
  for (int64_t t = 0; t < kTokens; ++t) {
    const auto expert = routed.plan.expert[t][0].item<int64_t>();
    if (expert < 0) continue;
    const at::Tensor h = routed.logits[t].to(at::kDouble), p = at::softmax(h, -1);
    tokens += 1;
    dropped += t % 5 == 0;
    load[static_cast<size_t>(expert)] += 1;
    entropy -= (p * p.log()).sum().item<double>();
    confidence += p[expert].item<double>();
    z += std::pow(at::logsumexp(h, {0}).item<double>(), 2);
  }
  EXPECT_EQ(stats.layer, "encoder.1");
  EXPECT_EQ(stats.calls, 1);
  EXPECT_EQ(stats.tokens, tokens);
  EXPECT_EQ(stats.dropped, dropped);
  EXPECT_EQ(stats.load, load);
  EXPECT_NEAR(stats.entropy_sum, entropy, 1e-5 * entropy);
  EXPECT_NEAR(stats.confidence_sum, confidence, 1e-5 * confidence);
  EXPECT_NEAR(stats.router_z, z / tokens, 1e-5 * z / tokens);
}

TEST(MeasureRouting, SameBitsForAnyNumberOfThreads) {
  const Routed routed;
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const RoutingStats one = routed.measured();
  at::set_num_threads(3);
  const RoutingStats three = routed.measured();
  at::set_num_threads(before);
  EXPECT_EQ(one.entropy_sum, three.entropy_sum);
  EXPECT_EQ(one.confidence_sum, three.confidence_sum);
  EXPECT_EQ(one.router_z, three.router_z);
  EXPECT_EQ(one.load, three.load);
}

TEST(MeasureRouting, OnlyPaddingGivesZeros) {
  Routed routed;
  routed.plan.expert.fill_(-1);
  const RoutingStats stats = routed.measured();
  EXPECT_EQ(stats.tokens, 0);
  EXPECT_EQ(stats.router_z, 0);
  EXPECT_EQ(stats.load, std::vector<double>(kExperts, 0.0));
}

}  // namespace
}  // namespace switchyard
