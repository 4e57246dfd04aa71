// Beam search as transformers 4.57 does it (early_stopping = False), so that its results carry
// over.
#pragma once

#include <cstdint>
#include <vector>

#include "infer/generation.h"
#include "infer/output_options.h"
#include "infer/step_decoder.h"

namespace switchyard {

struct BeamSearchOptions {
  int64_t max_new_tokens = 0;   // >= 1, EOS counted
  int64_t num_beams = 4;        // K >= 1
  double length_penalty = 1.0;  // above 0 favours long outputs, below 0 short ones
  int64_t num_return = 1;       // in [1, num_beams]
  OutputOptions output = {};    // a beam that stops ends as by EOS
};

/// Per input of `decoder` its `num_return` best generations, best first, by
///   score = sum / length^length_penalty, EOS counted in both,
/// where sum is log_prob unless limits of repetition change what is added up.
/// A step ranks the continuations of all K beams by their sum of log-probabilities and keeps 2K.
/// Those that end, by EOS or by the length limit, become results if they rank among the first K;
/// the K best of the others go on. An input is done when it has K results and the best beam's sum
/// over length^length_penalty, at its length so far, is no better than the worst of them. That is
/// no bound where length_penalty > 0: what is found need not be the best. Equal sums rank by beam,
/// then id.
std::vector<std::vector<Generation>> beam_search(StepDecoder& decoder,
                                                 const BeamSearchOptions& options);

}  // namespace switchyard
