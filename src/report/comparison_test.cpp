#include "report/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "report/test_runs.h"

namespace switchyard {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(Compare, SpeedUpInStepsTokensAndTime) {
  const std::vector<RunData> runs = {made_up_run("moe", 8, 1, {-3, -2, -1.5, -1.4}, 2),
                                     made_up_run("dense", 0, 1, {-4, -3, -2.5, -2}, 1)};
  const Comparison comparison = compare(runs);
  EXPECT_EQ(comparison.groups[comparison.baseline].name, "dense");
  EXPECT_DOUBLE_EQ(comparison.level, -2);
  EXPECT_DOUBLE_EQ(comparison.baseline_cost.cost.steps, 400);
  const RunNumbers& moe = comparison.runs[0];
  EXPECT_DOUBLE_EQ(moe.reach.cost.steps, 200);
  EXPECT_DOUBLE_EQ(moe.speed_up.steps, 2);
  EXPECT_DOUBLE_EQ(moe.speed_up.tokens, 2);
  EXPECT_DOUBLE_EQ(moe.speed_up.seconds, 1);
  EXPECT_DOUBLE_EQ(moe.difference, 0.6);
  EXPECT_DOUBLE_EQ(moe.seconds_per_step, 2);
  EXPECT_DOUBLE_EQ(moe.time_ratio, 2);
  EXPECT_DOUBLE_EQ(moe.tokens_per_second, 500);
  EXPECT_DOUBLE_EQ(comparison.runs[1].speed_up.steps, 1);
  EXPECT_DOUBLE_EQ(comparison.runs[1].difference, 0);
  EXPECT_THAT(comparison.warnings, IsEmpty());
}

TEST(Compare, BestOfTheBaselineNotItsLast) {
  const Comparison comparison = compare({made_up_run("dense", 0, 1, {-4, -2, -3})});
  EXPECT_DOUBLE_EQ(comparison.level, -2);
  EXPECT_DOUBLE_EQ(comparison.baseline_cost.cost.steps, 200);
  EXPECT_DOUBLE_EQ(comparison.runs[0].final_nlp, -3);
}

TEST(Compare, RunsWithoutEvaluation) {
  const Comparison comparison =
      compare({made_up_run("dense", 0, 1, {}), made_up_run("moe", 8, 1, {-3, kNaN})});
  EXPECT_TRUE(std::isnan(comparison.level));
  EXPECT_FALSE(comparison.runs[1].reach.reached);
  EXPECT_TRUE(std::isnan(comparison.runs[1].difference));
  EXPECT_DOUBLE_EQ(comparison.runs[1].final_nlp, -3);
}

TEST(Compare, ChosenBaseline) {
  const std::vector<RunData> runs = {made_up_run("dense", 0, 1, {-3, -2}),
                                     made_up_run("moe8-seed1", 8, 1, {-3, -1}),
                                     made_up_run("moe8-seed2", 8, 2, {-3, -1.5})};
  for (const char* name : {"moe8", "moe8-seed2", "runs/moe8-seed1"}) {
    EXPECT_EQ(compare(runs, name).baseline, 1u) << name;
  }
  EXPECT_EQ(compare(runs).baseline, 0u);
  EXPECT_EQ(compare({runs[1], runs[2]}).baseline, 0u);
  EXPECT_THROW(compare(runs, "moe9"), Error);
}

TEST(Compare, BaselineOfSeveralSeedsIsTheirMean) {
  const Comparison comparison = compare({made_up_run("dense-s1", 0, 1, {-4, -3, -2}),
                                         made_up_run("dense-s2", 0, 2, {-4, -2.5, -2.6}),
                                         made_up_run("moe", 8, 1, {-4, -2, -1})});
  EXPECT_DOUBLE_EQ(comparison.level, -2.25);
  EXPECT_DOUBLE_EQ(comparison.baseline_cost.cost.steps, 250);  // 300 and 200
  EXPECT_DOUBLE_EQ(comparison.runs[2].reach.cost.steps, 187.5);
  EXPECT_DOUBLE_EQ(comparison.runs[2].speed_up.steps, 250 / 187.5);
  EXPECT_FALSE(comparison.runs[1].reach.reached);
}

TEST(GroupRuns, OnlySeedsMayDiffer) {
  std::vector<RunData> runs = {made_up_run("moe8-seed1", 8, 1, {}), made_up_run("dense", 0, 1, {}),
                               made_up_run("moe8-seed2", 8, 2, {}),
                               made_up_run("moe8-hot", 8, 3, {})};
  runs[2].recipe.train.checkpoint_every = 7;  // changes no result
  runs[3].recipe.optimizer.learning_rate = 0.5;
  const std::vector<Group> groups = group_runs(runs);
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].name, "moe8");
  EXPECT_THAT(groups[0].runs, ElementsAre(0, 2));
  EXPECT_EQ(groups[1].name, "dense");
  EXPECT_THAT(groups[2].runs, ElementsAre(3));
}

TEST(GroupRuns, ARepeatedSeedIsNoOtherSeed) {
  const std::vector<Group> groups =
      group_runs({made_up_run("a-s1", 8, 1, {}), made_up_run("a-again", 8, 1, {}),
                  made_up_run("a-s2", 8, 2, {})});
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_THAT(groups[0].runs, ElementsAre(0, 2));
  EXPECT_THAT(groups[1].runs, ElementsAre(1));
}

TEST(SpreadOf, MeanDeviationAndRange) {
  const Spread spread = spread_of({1, kNaN, 2, 6});
  EXPECT_EQ(spread.count, 3);
  EXPECT_DOUBLE_EQ(spread.mean, 3);
  EXPECT_DOUBLE_EQ(spread.deviation, std::sqrt(7));
  EXPECT_DOUBLE_EQ(spread.low, 1);
  EXPECT_DOUBLE_EQ(spread.high, 6);
  EXPECT_DOUBLE_EQ(spread_of({5}).deviation, 0);
  EXPECT_TRUE(std::isnan(spread_of({}).mean));
}

class Warnings : public testing::Test {
 protected:
  std::vector<std::string> warnings() const { return compare(runs_).warnings; }
  std::vector<RunData> runs_ = {made_up_run("a", 0, 1, {-3, -2}), made_up_run("b", 8, 1, {-3, -2})};
};

TEST_F(Warnings, NoneForLikeRuns) { EXPECT_THAT(warnings(), IsEmpty()); }

TEST_F(Warnings, OtherEvaluationData) {
  runs_[1].recipe.data.validation = {{"elsewhere", 1.0}};
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("evaluated on different data")));
}

TEST_F(Warnings, OtherEvaluationLength) {
  runs_[1].evaluations.back().targets = 77;
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("evaluated on different data")));
}

TEST_F(Warnings, OtherTokenizer) {
  runs_[0].tokenizer = "one";
  EXPECT_THAT(warnings(), IsEmpty());  // the other one is not known
  runs_[1].tokenizer = "two";
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("different tokenizers")));
}

TEST_F(Warnings, OtherMachine) {
  runs_[0].machine = "this";
  runs_[1].machine = "that";
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("different machines")));
}

TEST_F(Warnings, OtherLengthAndFailure) {
  runs_[1].evaluations.pop_back();
  runs_[1].last_event = "failed: no more";
  EXPECT_THAT(warnings(), Contains(HasSubstr("different steps (100 / 200)")));
  EXPECT_THAT(warnings(), Contains("b: the run failed: no more."));
}

// 10 % of the tokens at 0.5, 90 % at 0.1; a gap has no weight.
TEST(Means, AreWeighedByWhatPassed) {
  RunData run = made_up_run("moe", 8, 1, {-3});
  const auto set = [&](std::string_view key, std::vector<double> values) {
    for (size_t c = 0; c < TrainColumns::kKeys.size(); ++c) {
      if (TrainColumns::kKeys[c] == key) run.train.columns[c] = values;
    }
  };
  for (const std::string_view key : TrainColumns::kKeys) set(key, {kNaN, kNaN, kNaN});
  set("step", {10, 20, 100});
  set("tokens", {100, 200, 1100});
  set("seconds", {1, 2, 10});
  set("dropped_share", {0.5, kNaN, 0.1});
  set("gemm_share", {0.2, 0.2, 0.4});
  const RunNumbers numbers = compare({run}).runs[0];
  EXPECT_DOUBLE_EQ(numbers.dropped_share, (0.5 * 100 + 0.1 * 900) / 1000);
  EXPECT_DOUBLE_EQ(numbers.gemm_share, (0.2 * 2 + 0.4 * 8) / 10);
}

}  // namespace
}  // namespace switchyard
