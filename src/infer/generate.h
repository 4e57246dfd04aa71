// Generation for a batch of inputs, by the way of decoding that the options name.
#pragma once

#include <cstdint>
#include <vector>

#include "infer/generation.h"
#include "infer/step_decoder.h"

namespace switchyard {

struct GenerateOptions {
  int64_t max_new_tokens = 0;  // >= 1, EOS counted
};

/// Per input its generations, best first.
std::vector<std::vector<Generation>> generate(StepDecoder& decoder, const GenerateOptions& options);

}  // namespace switchyard
