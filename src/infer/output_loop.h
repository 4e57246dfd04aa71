// Outputs that each grow by one id a step, whatever chooses the ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "infer/ongoing_output.h"
#include "infer/step_decoder.h"

namespace switchyard {

struct LoopOutput {
  size_t input, draw;
  OngoingOutput own;
};

/// Runs `decoder` until all outputs are done; those that are leave the batch. All begin with
/// `prefix`.
void run_outputs(StepDecoder& decoder, const std::vector<int32_t>& prefix,
                 std::vector<LoopOutput>& outputs, const IdListener& listener);

}  // namespace switchyard
