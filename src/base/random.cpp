#include "base/random.h"

#include <bit>

namespace switchyard {

double RandomStream::truncated_normal(uint64_t i) const {
  // Each try reads its own counter region; 64 misses in a row have probability 1e-86.
  for (uint64_t attempt = 0; attempt < 64; ++attempt) {
    const double value = normal(i + (attempt << 56));
    if (std::abs(value) <= 2.0) return value;
  }
  return 0.0;
}

uint64_t permute_index(uint64_t i, uint64_t size, uint64_t seed, uint64_t epoch) {
  if (size <= 1) return 0;
  const int half_bits = (static_cast<int>(std::bit_width(size - 1)) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  const RandomStream stream(seed, kRandomShuffle, epoch);
  uint64_t value = i;
  do {
    uint64_t left = value >> half_bits;
    uint64_t right = value & mask;
    for (uint64_t round = 0; round < 6; ++round) {
      const uint64_t mixed = left ^ (stream.bits64((round << 48) ^ right) & mask);
      left = right;
      right = mixed;
    }
    value = (left << half_bits) | right;
  } while (value >= size);
  return value;
}

}  // namespace switchyard
