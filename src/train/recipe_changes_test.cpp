#include "train/recipe_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard {
namespace {

using testing::ElementsAre;

std::vector<std::string> keys_of(const std::vector<RecipeDifference>& differences) {
  std::vector<std::string> keys;
  for (const RecipeDifference& difference : differences) keys.push_back(difference.key);
  return keys;
}

TEST(RecipeChanges, DifferencesThatMakeAnotherRun) {
  const Recipe a = load_recipe("");
  Recipe b =
      load_recipe("", {"train.steps=9000", "train.log_every=3", "data.validation=elsewhere",
                       "train.recompute=true", "optimizer.learning_rate=0.5", "health.spike=stop"});
  EXPECT_TRUE(run_differences(a, b).empty());
  b.train.seed = 2;
  b.model.moe.num_experts = 16;
  EXPECT_THAT(keys_of(run_differences(a, b)), ElementsAre("model.moe.num_experts", "train.seed"));
}

TEST(RecipeChanges, AllDifferencesWithBothValues) {
  const Recipe a = load_recipe("");
  const Recipe b = load_recipe("", {"optimizer.learning_rate=0.5", "train.tensorboard=false"});
  const std::vector<RecipeDifference> all = recipe_differences(a, b);
  EXPECT_THAT(keys_of(all), ElementsAre("optimizer.learning_rate", "train.tensorboard"));
  EXPECT_EQ(all[0].ours, "0.01");
  EXPECT_EQ(all[0].theirs, "0.5");
  EXPECT_EQ(all[0].change, KeyChange::kTraining);
  EXPECT_EQ(all[1].change, KeyChange::kFree);
}

TEST(RecipeChanges, AKeyThatNobodyListedStaysAsItIs) {
  EXPECT_EQ(change_of_key("model.something_new"), KeyChange::kNever);
}

}  // namespace
}  // namespace switchyard
