// Whole training steps on made-up ids: speed, share of the machine's limit, and where time goes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/recipe.h"

namespace switchyard {

struct StepBenchOptions {
  int64_t input_length = 256, target_length = 64;  // tokens of a sequence
  int64_t steps = 20;                              // timed ones, >= 1
  int64_t warmup_steps = 3;                        // before them
  double gemm_seconds = 1.0;
};

/// A row of the table of costs, seconds of one step.
struct StepPart {
  std::string name;
  double forward = 0;  // or the whole of what has no direction
  double backward = 0;
  double seconds() const { return forward + backward; }
};

struct StepBenchResult {
  int64_t parameters = 0;
  double gemm_rate = 0;     // FLOP/s
  double step_seconds = 0;  // median
  double fastest = 0, slowest = 0;
  double tokens_per_second = 0;  // input and target tokens, by the median
  double gemm_share = 0;  // 3 forward FLOPs / step_seconds / gemm_rate, dropped tokens not counted
  double dropped_share = 0;
  double loss = 0;                     // of the last step; a check that something was learned
  unsigned long long peak_memory = 0;  // bytes, of the process
  double profiled_seconds = 0;         // mean step while profiled; the parts add up to it
  std::vector<StepPart> parts;         // costliest first
};

/// Trains recipe.model for warm-up, timed and profiled steps with recipe.optimizer and
/// recipe.train's batch and precision. Ids are drawn by Zipf's law, so that experts see uneven
/// loads. Throws Error(kRuntime) if the weights and what belongs to them do not fit into memory.
StepBenchResult run_step_bench(const Recipe& recipe, const StepBenchOptions& options);

}  // namespace switchyard
