// What checkpoints cost while training goes on.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "bench/step_bench.h"

namespace switchyard {

struct CheckpointBenchOptions {
  StepBenchOptions steps;  // steps.steps: timed steps with and without a checkpoint, each round
  std::string folder;      // where checkpoints go; on the disk that a run would use
  int64_t rounds = 5;
};

/// Seconds are medians over the rounds.
struct CheckpointBenchResult {
  uint64_t bytes = 0;         // of weights and optimizer state
  double step_seconds = 0;    // of a step while nothing is written
  double stopped = 0;         // to save while training stands still
  double stall = 0;           // training waited for the writer
  double extra = 0;           // all that a checkpoint cost: waiting, and slower steps
  uint64_t copied_bytes = 0;  // the most that was copied for one
};

/// Rounds of steps without and with a checkpoint written in the background, taking turns. Throws
/// Error if `folder` cannot be written. Leaves nothing there.
CheckpointBenchResult run_checkpoint_bench(const Recipe& recipe,
                                           const CheckpointBenchOptions& options);

nlohmann::ordered_json to_json(const CheckpointBenchResult& result);

}  // namespace switchyard
