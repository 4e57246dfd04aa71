// bfloat16 as stored: the upper half of a float32. Layout-compatible with c10::BFloat16.
#pragma once

#include <bit>
#include <cstdint>

namespace switchyard::kernels {

struct Bf16 {
  uint16_t bits;
};

// `static`, so that files compiled for different instruction sets share no copy.
static inline float to_float(Bf16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}
static inline float to_float(float value) { return value; }

/// Rounds to nearest, ties to even; overflow gives infinity, NaN stays NaN (made quiet).
static inline Bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t quiet = (bits >> 16) | 0x40u;
  return {static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded)};
}

/// Stores in the target's type, for kernels that serve both.
static inline void store(float* to, float value) { *to = value; }
static inline void store(Bf16* to, float value) { *to = to_bf16(value); }

}  // namespace switchyard::kernels
