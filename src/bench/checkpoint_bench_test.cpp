#include "bench/checkpoint_bench.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

TEST(CheckpointBench, MeasuresAndLeavesNothing) {
  const testing::TemporaryFolder folder;
  Recipe recipe;
  recipe.model.d_model = 32;
  recipe.model.d_ff = 64;
  recipe.model.num_encoder_layers = recipe.model.num_decoder_layers = 2;
  recipe.model.vocab_size = 100;
  recipe.train.batch_sequences = 4;
  recipe.train.precision = "fp32";
  CheckpointBenchOptions options;
  options.steps.input_length = 16;
  options.steps.target_length = 8;
  options.steps.steps = 2;
  options.folder = folder.path();
  options.rounds = 2;
  const CheckpointBenchResult result = run_checkpoint_bench(recipe, options);
  EXPECT_GT(result.bytes, 100'000u);
  EXPECT_GT(result.step_seconds, 0);
  EXPECT_GT(result.stopped, 0);
  EXPECT_GT(result.stall, 0);
  EXPECT_LE(result.copied_bytes, result.bytes / 10);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace switchyard
