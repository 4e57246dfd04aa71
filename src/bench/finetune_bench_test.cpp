#include "bench/finetune_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/shapes.h"

namespace switchyard {
namespace {

TEST(FinetuneBench, BothSidesAndAnswersAreMeasured) {
  Recipe recipe = bench_shape("tiny").recipe;
  recipe.apply({"data.input_length=64", "data.target_length=16", "train.batch_sequences=4",
                "train.precision=fp32", "model.d_model=32", "model.d_ff=32"});
  const FinetuneBenchResult result =
      run_finetune_bench(recipe, {.steps = 2, .examples = 60, .answers = 6});
  EXPECT_GT(result.packed.examples_per_second, 0);
  EXPECT_EQ(result.single.examples_per_step, 4);
  EXPECT_GT(result.packed.examples_per_step, 4);
  EXPECT_LT(result.packed.padding_share, 0.5);
  EXPECT_GT(result.mean_input, 20);
  EXPECT_LE(result.mean_input, 64);
  EXPECT_GT(result.answers_per_second, 0);
  EXPECT_GT(result.one_by_one, 0);
  EXPECT_EQ(to_json(result)["single"]["examples_per_step"], 4);
  EXPECT_THAT(finetune_table(result), ::testing::HasSubstr("\npacked "));
}

}  // namespace
}  // namespace switchyard
