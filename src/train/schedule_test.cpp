#include "train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace switchyard {
namespace {

OptimizerConfig config(const std::string& schedule, double rate, int64_t warmup) {
  OptimizerConfig config;
  config.schedule = schedule;
  config.learning_rate = rate;
  config.warmup_steps = warmup;
  return config;
}

TEST(Schedule, ConstantRisesThenStays) {
  const OptimizerConfig c = config("constant", 0.5, 4);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 1, 100), 0.125);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 3, 100), 0.375);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 4, 100), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 1000, 100), 0.5);
}

TEST(Schedule, LinearFallsToItsShare) {
  OptimizerConfig c = config("linear", 2.0, 10);
  c.final_rate_factor = 0.1;
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 10, 110), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 60, 110), 2.0 * 0.55);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 110, 110), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 500, 110), 0.2);
  c.decay_steps = 60;
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 60, 110), 0.2);
}

TEST(Schedule, CosineHalfWayAndEnd) {
  const OptimizerConfig c = config("cosine", 1.0, 0);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 50, 100), 0.5);
  EXPECT_NEAR(learning_rate_at(c, 25, 100), 0.5 * (1 + std::sqrt(0.5)), 1e-15);
  EXPECT_NEAR(learning_rate_at(c, 100, 100), 0.0, 1e-15);
}

// T5: 1 / sqrt(max(step, 10000)).
TEST(Schedule, InverseSqrtIsT5s) {
  const OptimizerConfig c = config("inverse_sqrt", 0.01, 10000);
  for (const int64_t step : {1, 9999, 10000, 10001, 40000, 550000}) {
    EXPECT_NEAR(learning_rate_at(c, step, 550000),
                1.0 / std::sqrt(std::max(static_cast<double>(step), 1e4)), 1e-12)
        << step;
  }
}

TEST(Schedule, InverseSqrtMayRamp) {
  OptimizerConfig c = config("inverse_sqrt", 0.4, 100);
  c.inverse_sqrt_ramp = true;
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 25, 1000), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 100, 1000), 0.4);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 400, 1000), 0.2);
}

TEST(Schedule, NoWarmupStartsAtThePeak) {
  for (const char* name : {"constant", "linear", "cosine", "inverse_sqrt"}) {
    EXPECT_NEAR(learning_rate_at(config(name, 1.0, 0), 1, 1000000), 1.0, 2e-6) << name;
  }
}

}  // namespace
}  // namespace switchyard
