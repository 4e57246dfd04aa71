// Fine-tuning on made-up examples of uneven lengths: what packing gains, and how fast answers are
// decoded while training is evaluated.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "train/recipe.h"

namespace switchyard {

struct FinetuneBenchOptions {
  int64_t steps = 5;  // timed ones of each side, taking turns, >= 1
  int64_t examples = 2000;
  int64_t answers = 64;  // decoded together, and one by one
};

struct FinetuneBenchResult {
  struct Side {
    double examples_per_second = 0, tokens_per_second = 0;  // median; tokens without padding
    double padding_share = 0;                               // of the positions computed
    double examples_per_step = 0;
  };
  Side packed, single;
  double mean_input = 0, mean_target = 0;  // tokens of an example
  double answers_per_second = 0;           // as in evaluation: many requests together
  double one_by_one = 0;                   // the same requests alone
};

/// Trains recipe.model with recipe.optimizer, recipe.train's rows and precision, recipe.data's row
/// lengths. Inputs are 8 to input_length tokens, half of them below 60; targets 2 to 12. Throws
/// Error(kUsage) for a precision or router that cannot be decoded (train/evaluator.h).
FinetuneBenchResult run_finetune_bench(const Recipe& recipe, const FinetuneBenchOptions& options);

nlohmann::json to_json(const FinetuneBenchResult& result);
std::string finetune_table(const FinetuneBenchResult& result);

}  // namespace switchyard
