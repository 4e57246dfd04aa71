// Greedy decoding: at each position the most probable id, until EOS or the length limit.
#pragma once

#include <cstdint>
#include <vector>

#include "model/encoder_decoder.h"

namespace switchyard {

struct Generation {
  std::vector<int32_t> ids;  // without the start id and EOS
  double log_prob = 0;       // sum over the ids and, if it was reached, EOS; nats
  bool finished = false;     // ended with EOS
};

/// Decodes every input (ids with their EOS; at least one each). Inputs of different lengths are
/// padded, which changes nothing: padding is neither attended to nor routed. Routing uses the
/// evaluation capacity, so with tight capacities results may depend on what is decoded together.
/// Runs the decoder anew over the prefix at each position: meant for short outputs.
std::vector<Generation> greedy_decode(EncoderDecoder& model,
                                      const std::vector<std::vector<int32_t>>& inputs,
                                      int64_t max_new_tokens);

/// Puts the spans of `output` (sentinel, tokens, sentinel, tokens, ...) into the places of the same
/// sentinels in `input`: the text that the model takes the masked input to be. Sentinels are the ids
/// from `first_sentinel` on; a sentinel without a span stays as it is.
std::vector<int32_t> fill_sentinels(const std::vector<int32_t>& input,
                                    const std::vector<int32_t>& output, int32_t first_sentinel);

}  // namespace switchyard
