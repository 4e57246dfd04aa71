// Sampling: each id is drawn from the model's distribution, sharpened and cut off as asked.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "infer/generation.h"
#include "infer/output_options.h"
#include "infer/step_decoder.h"

namespace switchyard {

struct SamplingOptions {
  int64_t max_new_tokens = 0;  // >= 1, EOS counted
  double temperature = 1.0;    // > 0: probabilities become p^(1 / temperature), normalized
  int64_t top_k = 0;           // then only the k most probable ids; 0: all
  double top_p = 1.0;  // then only the fewest most probable ids whose share is top_p or more
  uint64_t seed = 1;
  int64_t num_return = 1;  // draws per input
  double min_p = 0.0;      // then only ids with this share of the largest probability, or more
};

/// The id that `uniform` in [0, 1) draws from the log-probabilities (or logits) of all ids.
int64_t sample_id(std::span<const float> log_p, const SamplingOptions& options, double uniform);

/// Per input its draws, in the order of their numbers. Random numbers depend on the seed, the
/// input's key, the draw's number and the position alone, not on what else is decoded. log_prob is
/// the model's own, without temperature and cut-offs. `keys`: one per input.
std::vector<std::vector<Generation>> sample_decode(StepDecoder& decoder,
                                                   const std::vector<uint64_t>& keys,
                                                   const SamplingOptions& options,
                                                   const OutputOptions& output_options = {},
                                                   const IdListener& listener = {});

}  // namespace switchyard
