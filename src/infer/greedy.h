// Greedy decoding: at each position the most probable id, until EOS or the length limit.
#pragma once

#include <cstdint>
#include <vector>

#include "infer/generation.h"
#include "infer/output_options.h"
#include "infer/step_decoder.h"

namespace switchyard {

/// One generation per input of `decoder`, of at most `max_new_tokens` >= 1 new ids, EOS counted.
/// Among equal scores the lowest id is taken. `listener` may be empty.
std::vector<Generation> greedy_decode(StepDecoder& decoder, int64_t max_new_tokens,
                                      const OutputOptions& options = {},
                                      const IdListener& listener = {});

}  // namespace switchyard
