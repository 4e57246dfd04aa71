// For *_isa.cpp files only (see dispatch.h): the instruction set being compiled and branch-free
// functions that compilers turn into vector code inside `#pragma omp simd` loops.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "kernels/bf16.h"
#include "kernels/cpu_features.h"

namespace switchyard::kernels {
namespace {

#if defined(__AMX_BF16__) || defined(__AMXBF16__)  // GCC, Clang 14
constexpr Isa kCompiledIsa = Isa::kAmxBf16;
#elif defined(__AVX512BF16__)
constexpr Isa kCompiledIsa = Isa::kAvx512Bf16;
#elif defined(__AVX2__)
constexpr Isa kCompiledIsa = Isa::kAvx2;
#else
constexpr Isa kCompiledIsa = Isa::kGeneric;
#endif

/// e^x within 1.5 ulp. Results below about 2^-125 become 0, results above the largest float
/// infinity; NaN stays NaN. For float with Bits = uint32_t, and for the vectors of isa_vector.h.
template <class Float, class Bits>
inline Float exp_of(Float x) {
  constexpr float kLowest = -87.33654f, kHighest = 88.72283f;
  constexpr float kLog2e = 1.44269504f;
  constexpr float kLn2High = 0.693145752f, kLn2Low = 1.42860677e-6f;  // high part: 15 bits
  constexpr float kShift = 0x1.8p23f + 126;  // rounds to an integer n, biased, in the low bits
  const Float clamped = x < kLowest ? kLowest : (x > kHighest ? kHighest : x);
  const Float shifted = clamped * kLog2e + kShift;
  const Float n = shifted - kShift;
  const Float r = (clamped - n * kLn2High) - n * kLn2Low;  // |r| <= ln(2) / 2
  Float p = 1.98756912e-4f * r + 1.39819994e-3f;
  p = p * r + 8.33345197e-3f;
  p = p * r + 4.16657962e-2f;
  p = p * r + 1.66666657e-1f;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  // 2^(n - 1) then a factor of 2: n may be 128.
  const Float scale = std::bit_cast<Float>(std::bit_cast<Bits>(shifted) << 23);
  const Float y = p * scale * 2.0f;
  return x < kLowest ? 0.0f : (x > kHighest ? std::numeric_limits<float>::infinity() : y);
}
inline float vector_exp(float x) { return exp_of<float, uint32_t>(x); }

/// The same for x <= 1, in little more than half the instructions: for the passes of softmax.
template <class Float, class Bits>
inline Float exp_below_one_of(Float x) {
  constexpr float kLowest = -87.33654f;
  constexpr float kLog2e = 1.44269504f;
  constexpr float kLn2High = 0.693145752f, kLn2Low = 1.42860677e-6f;
  constexpr float kShift = 0x1.8p23f + 127;
  const Float shifted = x * kLog2e + kShift;
  const Float n = shifted - kShift;
  const Float r = (x - n * kLn2High) - n * kLn2Low;
  Float p = 1.98756912e-4f * r + 1.39819994e-3f;
  p = p * r + 8.33345197e-3f;
  p = p * r + 4.16657962e-2f;
  p = p * r + 1.66666657e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const Float y = p * std::bit_cast<Float>(std::bit_cast<Bits>(shifted) << 23);
  return x < kLowest ? 0.0f : y;
}
inline float vector_exp_below_one(float x) { return exp_below_one_of<float, uint32_t>(x); }

/// log(x) within 2 ulp, for normal numbers x > 0; NaN stays NaN.
inline float vector_log(float x) {
  // x = m 2^e with m in [sqrt(1/2), sqrt(2)); then the series of log(1 + r) in Cephes'
  // coefficients.
  constexpr uint32_t kRootHalf = 0x3F3504F3u;
  const uint32_t above = std::bit_cast<uint32_t>(x) - kRootHalf;
  const auto e = static_cast<float>(static_cast<int32_t>(above) >> 23);
  const float r = std::bit_cast<float>((above & 0x007FFFFFu) + kRootHalf) - 1.0f;
  const float square = r * r;
  float p = 7.0376836292e-2f * r - 1.1514610310e-1f;
  p = p * r + 1.1676998740e-1f;
  p = p * r - 1.2420140846e-1f;
  p = p * r + 1.4249322787e-1f;
  p = p * r - 1.6668057665e-1f;
  p = p * r + 2.0000714765e-1f;
  p = p * r - 2.4999993993e-1f;
  p = p * r + 3.3333331174e-1f;
  const float y = p * r * square - 2.12194440e-4f * e - 0.5f * square;
  const float result = r + y + 0.693359375f * e;
  return x == x ? result : x;
}

}  // namespace
}  // namespace switchyard::kernels
