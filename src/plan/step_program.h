// The operations of one training step on one rank, in the order in which they run.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/mesh.h"
#include "plan/op.h"
#include "plan/parameter_shares.h"

namespace switchyard {

struct StepOptions {
  int64_t input_length = 512, target_length = 114;  // tokens of a sequence
  double dropped_share = 0;      // of routed tokens, without a place in their expert
  int64_t chunks = 2;            // parts of the all-to-all that overlap with the experts' products
  double bucket_bytes = 25e6;    // of gradients, reduced while backward goes on
  bool shard_optimizer = false;  // ZeRO-1: replicas of a parameter share its optimizer state
};

/// Lengths as the recipe's data gives them.
StepOptions step_options(const Recipe& recipe);

struct StepProgram {
  std::vector<Op> ops;
  RankBatch batch;
};

/// Forward and backward of every micro-batch, reduction of gradients, update. Micro-batches but the
/// last are told once, with `repeat`. Throws as divide_over_mesh().
StepProgram make_step_program(const Recipe& recipe, const MeshConfig& mesh,
                              const std::vector<ParameterShare>& parameters,
                              const StepOptions& options);

}  // namespace switchyard
