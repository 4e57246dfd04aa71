// The other direction of span corruption: a masked input and what the model made of it, put
// together.
#pragma once

#include <cstdint>
#include <vector>

namespace switchyard {

/// Puts the spans of `output` (sentinel, tokens, sentinel, tokens, ...) into the places of the same
/// sentinels in `input`: the text that the model takes the masked input to be. Sentinels are the
/// ids from `first_sentinel` on; a sentinel without a span stays as it is.
std::vector<int32_t> fill_sentinels(const std::vector<int32_t>& input,
                                    const std::vector<int32_t>& output, int32_t first_sentinel);

}  // namespace switchyard
