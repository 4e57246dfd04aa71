// MetricsWindow: sums over the steps between two lines of metrics.
#pragma once

#include <cstdint>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "train/evaluator.h"
#include "train/train_step.h"

namespace switchyard {

/// Kept in checkpoints, so that a run that was cut off between two lines writes the same next line
/// as one that was not.
struct MetricsWindow {
  int64_t steps = 0;    // with an update: all sums but seconds are over these
  int64_t skipped = 0;  // whose update was left out
  LossSum cross_entropy, soft, logit_z, correct;
  // Sums over steps, means in a line.
  double loss = 0, balance_loss = 0, router_z_loss = 0, gradient_norm = 0;
  int64_t sequences = 0, input_tokens = 0, target_tokens = 0;  // of all steps, without padding
  double seconds = 0, wait_seconds = 0;  // of the steps, and of it for the loader
  std::vector<RoutingStats> routing;
  std::vector<BlockNorms> blocks;

  void add(const StepResult& result);

  /// Exact: from_json(to_json()) is the same window. Throws nlohmann's errors on wrong input.
  nlohmann::json to_json() const;
  static MetricsWindow from_json(const nlohmann::json& object);

  /// The quality and router parts of a `train` line of metrics.jsonl (docs/formats.md).
  nlohmann::json metrics() const;
};

/// The same of an `eval` line.
nlohmann::json metrics_of(const EvaluationResult& result);
nlohmann::json metrics_of(const RunEvaluation& evaluation);

}  // namespace switchyard
