#include "bench/step_bench.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(StepBench, PartsAddUpToTheStep) {
  Recipe recipe;
  recipe.model.d_model = 32;
  recipe.model.d_ff = 64;
  recipe.model.num_encoder_layers = recipe.model.num_decoder_layers = 2;
  recipe.model.vocab_size = 100;
  recipe.train.batch_sequences = 4;
  recipe.train.precision = "fp32";
  StepBenchOptions options;
  options.input_length = 16;
  options.target_length = 8;
  options.steps = 4;
  options.gemm_seconds = 0.01;
  const StepBenchResult result = run_step_bench(recipe, options);
  EXPECT_GT(result.tokens_per_second, 0);
  EXPECT_LT(result.gemm_share, 1);
  double parts = 0;
  for (const StepPart& part : result.parts) parts += part.seconds();
  EXPECT_LE(parts, result.profiled_seconds);
  EXPECT_GE(parts, 0.8 * result.profiled_seconds);
}

}  // namespace
}  // namespace switchyard
