// For *_isa.cpp files only (see dispatch.h): Philox4x32-10 over many counters at once, the same
// numbers as base/random.h.
#pragma once

#include <cstdint>

#include "kernels/isa_math.h"

namespace switchyard::kernels {
namespace {

constexpr int64_t kDrawBatch = 32;

/// words[k][j]: word k of draw first + j, j < kDrawBatch.
inline void draw_batch(uint64_t key, const uint32_t* high, uint64_t first,
                       uint32_t (*words)[kDrawBatch]) {
#pragma omp simd
  for (int64_t j = 0; j < kDrawBatch; ++j) {
    const uint64_t draw = first + static_cast<uint64_t>(j);
    uint32_t c0 = static_cast<uint32_t>(draw), c1 = static_cast<uint32_t>(draw >> 32);
    uint32_t c2 = high[0], c3 = high[1];
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
      const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
      const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c0 = n0;
      c1 = static_cast<uint32_t>(p1);
      c2 = n2;
      c3 = static_cast<uint32_t>(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    words[0][j] = c0;
    words[1][j] = c1;
    words[2][j] = c2;
    words[3][j] = c3;
  }
}

/// 24 random bits as a float in [0, 1).
inline float unit_float(uint32_t bits) {
  return static_cast<float>(static_cast<int32_t>(bits >> 8)) * 0x1p-24f;
}

}  // namespace
}  // namespace switchyard::kernels
