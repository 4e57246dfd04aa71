// T5's span corruption (Raffel et al. 2020; `t5.data.preprocessors`): some spans of a sequence are
// hidden behind sentinels, the targets are the hidden spans. All rounding is half to even.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"

namespace switchyard {

/// Lengths in tokens. `raw`: of the text cut out; `inputs` and `targets` include sentinels and EOS.
struct SpanLengths {
  int64_t raw = 0;
  int64_t inputs = 0;
  int64_t targets = 0;
  int64_t spans = 0;

  bool operator==(const SpanLengths&) const = default;
};

/// The longest raw text whose corrupted inputs fit in `input_length` (`random_spans_helper`):
/// 512 -> raw 568, targets 114; 256 -> 284, 58; 128 -> 141, 29; 64 -> 70, 14. For some lengths
/// `inputs` comes out a token or two below `input_length`. Throws Error(kUsage) if it takes more
/// spans than there are sentinels or if nothing is left to corrupt.
SpanLengths span_lengths(int64_t input_length, double noise_density, double mean_span_length);

/// 1 where a token is hidden, for `length` >= 2 tokens: hidden and shown tokens are each cut into
/// the same number of non-empty random segments, all ways equally likely, which alternate, shown
/// first. Draws from `random` only.
std::vector<uint8_t> random_spans_mask(int64_t length, double noise_density,
                                       double mean_span_length, const RandomStream& random);

/// Appends to `inputs` the tokens with each hidden run replaced by one sentinel, to `targets` the
/// tokens with each shown run replaced by one. Sentinels count down from `first_sentinel` in both.
/// No EOS.
void corrupt_spans(std::span<const int32_t> tokens, std::span<const uint8_t> mask,
                   int32_t first_sentinel, std::vector<int32_t>& inputs,
                   std::vector<int32_t>& targets);

}  // namespace switchyard
