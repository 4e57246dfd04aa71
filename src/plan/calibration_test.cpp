// What is measured for plans: that every kind of operation of a step gets a cost.
#include "plan/calibration.h"

#include <gtest/gtest.h>

#include <set>

#include "plan/plan.h"

namespace switchyard {
namespace {

std::set<OpKind> kinds_of(const Recipe& recipe) {
  const StepProgram program = make_step_program(
      recipe, {}, share_parameters(parameter_shapes(recipe), {}), step_options(recipe));
  std::set<OpKind> kinds;
  for (const Op& op : program.ops) {
    if (op.work.calls > 0) kinds.insert(op.kind);
  }
  return kinds;
}

TEST(Calibration, ModelsHaveAllKindsOfOperations) {
  std::set<OpKind> kinds;
  for (const Recipe& recipe : calibration_recipes(false)) {
    recipe.validate("calibration");
    kinds.merge(kinds_of(recipe));
  }
  EXPECT_EQ(kinds.size(), static_cast<size_t>(kNumOpKinds - 1));  // all but transfers
}

TEST(Calibration, OneModelGivesPositiveTimes) {
  Recipe recipe = calibration_recipes(false).front();
  recipe.train.batch_sequences = 4;
  const OpCosts costs = measure_costs({recipe}, 1).costs;
  for (const OpKind kind : kinds_of(recipe)) {
    const OpCost& cost = costs[static_cast<size_t>(kind)];
    EXPECT_GT(cost[0] + cost[1] + cost[2] + cost[3], 0) << op_kind_name(kind);
  }
}

}  // namespace
}  // namespace switchyard
