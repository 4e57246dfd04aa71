#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "train/health/places.h"
#include "train/health/slowness_detector.h"
#include "train/health/spike_detector.h"
#include "train/health/starvation_detector.h"

namespace switchyard {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Places, AreSaidInWords) {
  EXPECT_EQ(describe_parameter("encoder.block.1.layer.1.mlp.experts.wi.weight", 3),
            "encoder block 1, feed-forward, expert 3");
  EXPECT_EQ(describe_parameter("decoder.block.10.layer.2.mlp.router.classifier.weight"),
            "decoder block 10, feed-forward, router");
  EXPECT_EQ(describe_parameter("decoder.block.0.layer.1.EncDecAttention.q.weight", 0),
            "decoder block 0, cross-attention");
  EXPECT_EQ(describe_parameter("encoder.block.3.layer.0.SelfAttention.experts.qkv.weight", 1),
            "encoder block 3, self-attention, expert 1");
  EXPECT_EQ(describe_parameter("encoder.block.3.layer.0.layer_norm.weight"),
            "encoder block 3, norm");
  EXPECT_EQ(describe_parameter("decoder.final_layer_norm.weight"), "decoder, final norm");
  EXPECT_EQ(describe_parameter("shared.weight"), "embedding");
  EXPECT_EQ(describe_parameter("lm_head.weight"), "output layer");
  EXPECT_EQ(describe_routed_layer("decoder.3"), "decoder block 3, feed-forward");
  EXPECT_EQ(describe_routed_layer("encoder.12.attention"), "encoder block 12, self-attention");
  EXPECT_EQ(block_of_parameter("encoder.block.12.layer.0.layer_norm.weight"), "encoder.12");
}

TEST(SpikeDetector, ScoreIsRobust) {
  // Median 3, MAD 1; one far outlier moves neither much.
  std::vector<double> losses = {1, 2, 3, 4, 1000};
  const auto spike = watch_loss(losses, 10, 5, 4.0);
  ASSERT_TRUE(spike);
  EXPECT_DOUBLE_EQ(spike->median, 3);
  EXPECT_DOUBLE_EQ(spike->score, 7 / 1.4826);
  EXPECT_THAT(losses, ElementsAre(2, 3, 4, 1000, 10));
}

TEST(SpikeDetector, FallingNoisyLossesMakeNoneAJumpDoes) {
  const RandomStream random(1, kRandomTest);
  std::vector<double> losses;
  const auto loss_at = [&](uint64_t step) {
    return 3 + 7 * std::exp(-static_cast<double>(step) / 100) + 0.1 * random.normal(step);
  };
  for (uint64_t step = 0; step < 1000; ++step) {
    ASSERT_FALSE(watch_loss(losses, loss_at(step), 128, 10)) << step;
  }
  EXPECT_EQ(losses.size(), 128u);
  EXPECT_FALSE(watch_loss(losses, 0.5, 128, 10)) << "a fall is no spike";
  EXPECT_TRUE(watch_loss(losses, 5.0, 128, 10));
  // At a new level it is no news for long.
  int found = 0;
  for (uint64_t step = 0; step < 200; ++step) found += watch_loss(losses, 5.0, 128, 10).has_value();
  EXPECT_LE(found, 65);
}

TEST(SpikeDetector, NeedsHalfAWindowAndForgivesAFlatCurve) {
  std::vector<double> losses = {1, 1, 1};
  EXPECT_FALSE(watch_loss(losses, 50, 8, 10));
  std::vector<double> flat(8, 2.0);
  EXPECT_FALSE(watch_loss(flat, 2.0001, 8, 10));
  EXPECT_TRUE(watch_loss(flat, 2.1, 8, 10));
}

RoutingStats layer_of(const std::string& name, const std::vector<double>& load) {
  RoutingStats stats;
  stats.layer = name;
  stats.load = load;
  for (const double tokens : load) stats.tokens += tokens;
  return stats;
}

TEST(StarvationDetector, NamesLayerAndExpertsAfterNSteps) {
  StarvedSteps starved;
  for (int step = 1; step <= 7; ++step) {
    const auto found = watch_routing(
        starved, {layer_of("encoder.1", {50, 50, 0, 0}), layer_of("decoder.3", {40, 20, 20, 20})},
        3, 0.01);
    if (step % 3 == 0) {
      EXPECT_THAT(found, ElementsAre(HasSubstr("encoder block 1, feed-forward: experts 2 and 3")));
      EXPECT_THAT(found.front(), HasSubstr(step == 3 ? "for 3 steps" : "for 6 steps"));
    } else {
      EXPECT_THAT(found, IsEmpty()) << step;
    }
  }
}

TEST(StarvationDetector, OneTokenInTimeStartsAnew) {
  StarvedSteps starved;
  for (int step = 1; step <= 30; ++step) {
    const double load = step % 3 == 0 ? 1 : 0;
    EXPECT_THAT(watch_routing(starved, {layer_of("encoder.1", {99, load})}, 3, 0), IsEmpty());
  }
}

TEST(StarvationDetector, ShareIsOfAnEvenShare) {
  StarvedSteps low, high;
  // An even share is 50; the second expert has 4, 8 % of it.
  const std::vector<RoutingStats> routing = {layer_of("encoder.1", {96, 4})};
  EXPECT_THAT(watch_routing(low, routing, 1, 0.07), IsEmpty());
  EXPECT_THAT(watch_routing(high, routing, 1, 0.09), ElementsAre(HasSubstr("expert 1 had")));
}

TEST(StarvationDetector, CollapseAndSilenceOfALayerAreSaid) {
  StarvedSteps starved;
  EXPECT_THAT(
      watch_routing(starved, {layer_of("decoder.1.attention", {0, 90, 0, 0})}, 1, 0),
      ElementsAre(HasSubstr("decoder block 1, self-attention: the router has collapsed onto "
                            "expert 1")));
  StarvedSteps silent;
  EXPECT_THAT(watch_routing(silent, {layer_of("encoder.1", {0, 0, 0})}, 1, 0.01),
              ElementsAre(HasSubstr("whole layer")));
}

TEST(SlownessDetector, FindsALastingFallOnce) {
  SlownessDetector detector(10, 0.4);
  int found = 0;
  for (int step = 0; step < 60; ++step) found += detector.add(1.0 + 0.1 * (step % 3)).has_value();
  // Few slow steps among many do not count.
  for (int step = 0; step < 60; ++step) found += detector.add(step % 3 ? 1.0 : 9.0).has_value();
  EXPECT_EQ(found, 0);
  for (int step = 0; step < 25; ++step) {
    if (const auto slow = detector.add(2.0)) {
      ++found;
      EXPECT_DOUBLE_EQ(slow->now, 2.0);
      EXPECT_NEAR(slow->before, 1.1, 0.11);
      EXPECT_LE(step, 10);
    }
  }
  EXPECT_EQ(found, 1);
}

TEST(SlownessDetector, MayBeOff) {
  SlownessDetector detector(0, 0.4);
  for (int step = 0; step < 100; ++step) EXPECT_FALSE(detector.add(step));
}

}  // namespace
}  // namespace switchyard
