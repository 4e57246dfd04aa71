#include "bench/step_runner.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/progress.h"
#include "base/threads.h"
#include "bench/zipf_ids.h"
#include "model/counts.h"

namespace switchyard {
namespace {

// A machine that swaps or ends the process says nothing about speed.
const Recipe& checked_memory(const Recipe& recipe) {
  double bytes = 4 + 4;  // of a parameter: master and gradient
  if (parse_precision(recipe.train.precision) != Precision::kFloat32) bytes += 2;
  if (recipe.optimizer.kind == "adamw") {
    bytes += 8;
  } else if (recipe.optimizer.momentum > 0) {
    bytes += 4;
  }
  const double needed = bytes * static_cast<double>(count_parameters(recipe.model));
  const auto available = static_cast<double>(available_memory());
  if (needed <= available) return recipe;
  throw runtime_failure(
      format("weights, gradients and optimizer need {}, and this process may use {}",
             format_bytes(needed), format_bytes(available)),
      "bench", "take a smaller shape, fewer experts or a machine with more memory");
}

}  // namespace

StepRunner::StepRunner(const Recipe& recipe, const StepBenchOptions& options)
    : recipe_(checked_memory(recipe)),
      options_(options),
      model_(recipe.model, parse_precision(recipe.train.precision)) {
  model_.parameters().initialize(static_cast<uint64_t>(recipe.train.seed));
  optimizer_ = make_optimizer(recipe.optimizer, model_.parameters());
}

double StepRunner::run() {
  const int64_t sequences = recipe_.train.batch_sequences;
  const int64_t vocab_size = recipe_.model.vocab_size;
  const auto salt = static_cast<uint64_t>(++step_);
  const Batch batch =
      make_batch(zipf_ids(sequences, options_.input_length, vocab_size, 2 * salt),
                 zipf_ids(sequences, options_.target_length, vocab_size, 2 * salt + 1));
  const Clock::time_point start = Clock::now();
  last_ = train_step(model_, *optimizer_, batch, recipe_, step_);
  return seconds_since(start);
}

}  // namespace switchyard
