#include "report/speed_up.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace switchyard {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Evaluations every 100 steps from step 100 on; 10 tokens and half a second a step.
std::vector<EvalPoint> curve(const std::vector<double>& nlp) {
  std::vector<EvalPoint> points;
  for (size_t i = 0; i < nlp.size(); ++i) {
    const double step = 100.0 * static_cast<double>(i + 1);
    points.push_back({step, 10 * step, step / 2, nlp[i], kNaN, kNaN});
  }
  return points;
}

TEST(FirstReach, InterpolatesBetweenEvaluations) {
  const Crossing crossing = first_reach(curve({-4, -3, -2}), -2.25);
  ASSERT_TRUE(crossing.reached);
  EXPECT_FALSE(crossing.at_first);
  EXPECT_DOUBLE_EQ(crossing.cost.steps, 275);
  EXPECT_DOUBLE_EQ(crossing.cost.tokens, 2750);
  EXPECT_DOUBLE_EQ(crossing.cost.seconds, 137.5);
}

TEST(FirstReach, ExactlyAtAnEvaluation) {
  EXPECT_DOUBLE_EQ(first_reach(curve({-4, -3, -2}), -3).cost.steps, 200);
}

TEST(FirstReach, FirstEvaluationIsAnUpperBound) {
  for (const double level : {-4.0, -5.0}) {
    const Crossing crossing = first_reach(curve({-4, -3}), level);
    EXPECT_TRUE(crossing.reached);
    EXPECT_TRUE(crossing.at_first);
    EXPECT_DOUBLE_EQ(crossing.cost.steps, 100);
  }
}

TEST(FirstReach, WhatARunBeginsWithCostsNothingAndIsNoCost) {
  const std::vector<EvalPoint> points = {
      {0, 0, 0, -2.0, kNaN, kNaN}, {10, 100, 1, -1.9, kNaN, kNaN}, {20, 200, 2, -1.8, kNaN, kNaN}};
  const Crossing reach = first_reach(points, -1.95);
  EXPECT_TRUE(reach.reached);
  EXPECT_DOUBLE_EQ(reach.cost.steps, 5);
  const Crossing begun_there = first_reach(points, -2.5);
  EXPECT_TRUE(begun_there.at_first);
  EXPECT_DOUBLE_EQ(begun_there.cost.steps, 10);
}

TEST(FirstReach, NeverReached) {
  for (const auto& points : {curve({-4, -3, -2}), curve({}), curve({kNaN, kNaN})}) {
    const Crossing crossing = first_reach(points, -1.999);
    EXPECT_FALSE(crossing.reached);
    EXPECT_TRUE(std::isnan(crossing.cost.steps));
  }
  EXPECT_FALSE(first_reach(curve({-4}), kNaN).reached);
}

// The dip to -5 at step 300 must not count: the running best is -3 there, half way to -2 at 350.
TEST(FirstReach, DipsDoNotMakeTheRunSlowerThanItsRunningBest) {
  const Crossing crossing = first_reach(curve({-4, -3, -5, -2}), -2.5);
  EXPECT_DOUBLE_EQ(crossing.cost.steps, 350);
}

TEST(FirstReach, FirstCrossingCountsEvenIfTheRunFallsBack) {
  EXPECT_DOUBLE_EQ(first_reach(curve({-4, -2, -6, -1}), -3).cost.steps, 150);
}

TEST(FirstReach, NullsAreSteppedOver) {
  const Crossing crossing = first_reach(curve({kNaN, -4, kNaN, -2}), -3);
  EXPECT_FALSE(crossing.at_first);
  EXPECT_DOUBLE_EQ(crossing.cost.steps, 300);  // half way from step 200 to step 400
  EXPECT_TRUE(first_reach(curve({kNaN, -4}), -4).at_first);
}

TEST(FirstReach, UnknownTimeStaysUnknown) {
  std::vector<EvalPoint> points = curve({-4, -2});
  points[1].seconds = kNaN;
  const Crossing crossing = first_reach(points, -3);
  EXPECT_DOUBLE_EQ(crossing.cost.steps, 150);
  EXPECT_TRUE(std::isnan(crossing.cost.seconds));
}

TEST(BestNlp, LeavesOutWhatIsNotFinite) {
  EXPECT_DOUBLE_EQ(best_nlp(curve({kNaN, -4, -2, kNaN, -3})), -2);
  EXPECT_TRUE(std::isnan(best_nlp(curve({}))));
  EXPECT_TRUE(std::isnan(best_nlp(curve({kNaN}))));
  EXPECT_TRUE(std::isnan(best_nlp(curve({-std::numeric_limits<double>::infinity()}))));
}

TEST(SpeedUp, IsTheBaselinesCostOverTheRuns) {
  const Crossing baseline{true, false, {700, 7000, 100}};
  const Crossing run{true, false, {100, 1000, 40}};
  const Cost gain = speed_up(baseline, run);
  EXPECT_DOUBLE_EQ(gain.steps, 7);
  EXPECT_DOUBLE_EQ(gain.tokens, 7);
  EXPECT_DOUBLE_EQ(gain.seconds, 2.5);
  EXPECT_TRUE(std::isnan(speed_up(baseline, first_reach({}, 0)).steps));
}

// A run that reaches the level at step 0 (evaluated before training) has no ratio.
TEST(SpeedUp, NoDivisionByZero) {
  const Crossing at_start{true, true, {0, 0, 0}};
  EXPECT_TRUE(std::isnan(speed_up({true, false, {10, 10, 10}}, at_start).steps));
}

}  // namespace
}  // namespace switchyard
