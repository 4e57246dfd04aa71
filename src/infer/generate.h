// Generation for a batch of inputs, by the way of decoding that the options name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "infer/generation.h"
#include "infer/output_options.h"
#include "infer/sampling.h"
#include "infer/step_decoder.h"

namespace switchyard {

/// Greedy, unless there are several beams (beam_search.h) or `sample` is set (sampling.h).
struct GenerateOptions {
  int64_t max_new_tokens = 0;  // >= 1, EOS counted
  int64_t num_return = 1;      // generations per input
  int64_t num_beams = 1;
  double length_penalty = 1.0;
  bool sample = false;
  double temperature = 1.0;
  int64_t top_k = 0;
  double top_p = 1.0;
  double min_p = 0.0;
  uint64_t seed = 1;
  OutputOptions output = {};
  IdListener listener = {};  // greedy and sampling: called with each id as it is written

  bool beam_search() const { return num_beams > 1; }
  SamplingOptions sampling() const {
    return {max_new_tokens, temperature, top_k, top_p, seed, num_return, min_p};
  }
  /// Throws Error(kUsage), naming `where`, for options that do not go together or do not fit a
  /// vocabulary of `vocab_size` ids.
  void validate(int64_t vocab_size, const std::string& where) const;
};

/// Per input its generations: best first, or in the order drawn. `keys`, one per input, name the
/// inputs to the random numbers of sampling.
std::vector<std::vector<Generation>> generate(StepDecoder& decoder,
                                              const std::vector<uint64_t>& keys,
                                              const GenerateOptions& options);

}  // namespace switchyard
