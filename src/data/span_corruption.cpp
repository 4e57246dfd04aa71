#include "data/span_corruption.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/format.h"
#include "text/tokenizer.h"

namespace switchyard {
namespace {

/// Python's round(): halves go to the even neighbour, the default rounding mode of the machine.
int64_t round_half_even(double value) { return static_cast<int64_t>(std::nearbyint(value)); }

struct NoiseCounts {
  int64_t tokens, spans;
};

/// What the mask of a sequence of `length` tokens hides.
NoiseCounts noise_counts(int64_t length, double noise_density, double mean_span_length) {
  const int64_t wanted = round_half_even(static_cast<double>(length) * noise_density);
  const int64_t tokens = std::clamp<int64_t>(wanted, 1, length - 1);
  const int64_t spans = round_half_even(static_cast<double>(tokens) / mean_span_length);
  // Every span needs a hidden token and a shown one before it.
  return {tokens, std::clamp<int64_t>(spans, 1, std::min(tokens, length - tokens))};
}

/// Inputs keep the shown tokens, targets the hidden ones; both get a sentinel a span and EOS.
SpanLengths lengths_of(int64_t raw, double noise_density, double mean_span_length) {
  const NoiseCounts noise = noise_counts(raw, noise_density, mean_span_length);
  return {raw, raw - noise.tokens + noise.spans + 1, noise.tokens + noise.spans + 1, noise.spans};
}

/// Cuts `num_items` into `num_segments` non-empty segments, appended to `lengths`: of the borders
/// between items, num_segments - 1 are chosen, each set as likely as any other (Knuth's method S).
/// Draws number `first_draw` and on.
void random_segments(int64_t num_items, int64_t num_segments, const RandomStream& random,
                     uint64_t first_draw, std::vector<int64_t>& lengths) {
  int64_t wanted = num_segments - 1;
  int64_t length = 1;
  Philox4 words{};
  for (int64_t border = 0; border < num_items - 1; ++border) {
    const uint64_t draw = first_draw + static_cast<uint64_t>(border);
    if (border == 0 || draw % 4 == 0) words = random.draw(draw / 4);
    const auto left = static_cast<uint64_t>(num_items - 1 - border);
    if ((words[draw % 4] * left) >> 32 < static_cast<uint64_t>(wanted)) {
      lengths.push_back(length);
      length = 0;
      --wanted;
    }
    ++length;
  }
  lengths.push_back(length);
}

}  // namespace

SpanLengths span_lengths(int64_t input_length, double noise_density, double mean_span_length) {
  const auto where = format("input_length {}, noise_density {}, mean_span_length {}", input_length,
                            noise_density, mean_span_length);
  if (input_length < 4) {
    throw usage_error("sequences too short for span corruption", where, "raise input_length");
  }
  int64_t raw = 2;
  while (lengths_of(raw + 1, noise_density, mean_span_length).inputs <= input_length) ++raw;
  const SpanLengths lengths = lengths_of(raw, noise_density, mean_span_length);
  if (lengths.spans > kNumSentinels) {
    throw usage_error(
        format("{} hidden spans a sequence, but only {} sentinels", lengths.spans, kNumSentinels),
        where, "lower input_length or noise_density, or raise mean_span_length");
  }
  return lengths;
}

std::vector<uint8_t> random_spans_mask(int64_t length, double noise_density,
                                       double mean_span_length, const RandomStream& random) {
  const NoiseCounts noise = noise_counts(length, noise_density, mean_span_length);
  std::vector<int64_t> hidden, shown;
  random_segments(noise.tokens, noise.spans, random, 0, hidden);
  random_segments(length - noise.tokens, noise.spans, random, uint64_t{1} << 32, shown);
  std::vector<uint8_t> mask;
  mask.reserve(static_cast<size_t>(length));
  for (size_t i = 0; i < hidden.size(); ++i) {
    mask.insert(mask.end(), static_cast<size_t>(shown[i]), 0);
    mask.insert(mask.end(), static_cast<size_t>(hidden[i]), 1);
  }
  return mask;
}

void corrupt_spans(std::span<const int32_t> tokens, std::span<const uint8_t> mask,
                   int32_t first_sentinel, std::vector<int32_t>& inputs,
                   std::vector<int32_t>& targets) {
  int32_t input_sentinel = first_sentinel, target_sentinel = first_sentinel;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool starts_run = i == 0 || mask[i] != mask[i - 1];
    if (mask[i]) {
      if (starts_run) inputs.push_back(input_sentinel--);
      targets.push_back(tokens[i]);
    } else {
      if (starts_run) targets.push_back(target_sentinel--);
      inputs.push_back(tokens[i]);
    }
  }
}

}  // namespace switchyard
