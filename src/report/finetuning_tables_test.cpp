#include "report/finetuning_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/test_runs.h"

namespace switchyard {
namespace {

using ::testing::ElementsAre;

TEST(TaskTable, BestNumbersWithSpreadOverSeeds) {
  std::vector<RunData> runs = {made_up_run("a-seed1", 0, 1, {-2}),
                               made_up_run("a-seed2", 0, 2, {-2}), made_up_run("b", 8, 1, {-1})};
  runs[0].best_tasks = {{"boolq accuracy", 60.0}};
  runs[1].best_tasks = {{"boolq accuracy", 64.0}};
  runs[2].best_tasks = {{"squad em", 12.5}};
  const Table table = task_table(runs, compare(runs));
  EXPECT_THAT(table.columns, ElementsAre("Run", "boolq accuracy", "squad em"));
  ASSERT_EQ(table.rows.size(), 2);
  EXPECT_THAT(table.rows[0].cells, ElementsAre("a (2 seeds)", "62.00 ± 2.83", "–"));
  EXPECT_THAT(table.rows[1].cells, ElementsAre("b", "–", "12.50"));
  runs.resize(1);
  runs[0].best_tasks.clear();
  EXPECT_TRUE(task_table(runs, compare(runs)).rows.empty());
}

TEST(DistillationTable, ShareOfTheGainKept) {
  std::vector<RunData> runs = {made_up_run("dense", 0, 1, {-2.0}),
                               made_up_run("teacher", 8, 1, {-1.5}),
                               made_up_run("student", 0, 1, {-1.9})};
  runs[2].recipe.objective.kind = "distill";
  runs[2].recipe.objective.teacher = "runs/teacher/checkpoints/step-00000100";
  const auto shares = kept_shares(runs, compare(runs));
  ASSERT_EQ(shares.size(), 1);
  EXPECT_EQ(shares[0].teacher, "teacher");
  EXPECT_NEAR(shares[0].share, 0.2, 1e-9);
  EXPECT_EQ(distillation_table(runs, compare(runs)).rows[0].cells.back(), "20 %");

  runs[2].recipe.objective.teacher = "runs/teacher-of-another";
  EXPECT_TRUE(kept_shares(runs, compare(runs)).empty());
  runs[2].recipe.objective.teacher = "runs/teacher";
  runs[1].evaluations.back().nlp = -2.5;  // a teacher that is worse
  EXPECT_EQ(distillation_table(runs, compare(runs)).rows[0].cells.back(), "–");
}

}  // namespace
}  // namespace switchyard
