// For *_isa.cpp files only (see dispatch.h): one vector register of floats, for loops that the
// compiler does not turn into good vector code by itself. Plain operators work on it lane by lane.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/bf16.h"
#include "kernels/isa_math.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace switchyard::kernels {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

using Vector = float __attribute__((vector_size(kLanes * sizeof(float))));
using VectorBits = uint32_t __attribute__((vector_size(kLanes * sizeof(float))));

inline Vector load(const float* from) {
  Vector value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
inline Vector load(const Bf16* from) {
#if defined(__AVX512F__)
  // GCC 12 makes three more shuffles of a conversion of the whole vector. A mask, as it warns about
  // the intrinsic without one.
  __m256i half;
  std::memcpy(&half, from, sizeof half);
  return reinterpret_cast<Vector>(
      reinterpret_cast<VectorBits>(_mm512_maskz_cvtepu16_epi32(0xFFFF, half)) << 16);
#else
  uint16_t __attribute__((vector_size(2 * kLanes))) half;
  std::memcpy(&half, from, sizeof half);
  return reinterpret_cast<Vector>(__builtin_convertvector(half, VectorBits) << 16);
#endif
}
inline void store_vector(float* to, Vector value) { std::memcpy(to, &value, sizeof value); }
inline void store_vectors(float* to, Vector first, Vector second) {
  store_vector(to, first);
  store_vector(to + kLanes, second);
}
inline Vector splat(float value) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vector>(_mm512_set1_ps(value));
#else
  return Vector{} + value;
#endif
}

/// The second if either is NaN.
inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }

inline Vector plus(Vector a, Vector b) { return a + b; }

inline Vector vector_exp(Vector x) { return exp_of<Vector, VectorBits>(x); }

inline Vector vector_exp_below_one(Vector x) { return exp_below_one_of<Vector, VectorBits>(x); }

/// Lane i of the result is lane i + kStep of `value`, counted around.
template <int kStep, int... kLane>
inline Vector rotated(Vector value, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(value, value, ((kLane + kStep) % kLanes)...);
}
/// Swaps, in a square of vectors with rows a and b kStep apart, the blocks of kStep lanes beside
/// the diagonal.
template <int kStep, int... kLane>
inline void swap_blocks_of(Vector& a, Vector& b, std::integer_sequence<int, kLane...>) {
  // Indices: lanes of the first row, then of the second.
  const Vector first = a, second = b;
  a = __builtin_shufflevector(first, second, ((kLane & kStep) ? kLanes + kLane - kStep : kLane)...);
  b = __builtin_shufflevector(first, second, ((kLane & kStep) ? kLanes + kLane : kLane + kStep)...);
}

/// combine() of all lanes in log(kLanes) steps, always in the same order.
template <int kStep = kLanes / 2, class Combine>
inline float over_lanes(Vector value, const Combine& combine) {
  if constexpr (kStep == 0) {
    return value[0];
  } else {
    constexpr std::make_integer_sequence<int, kLanes> lanes;
    return over_lanes<kStep / 2>(combine(value, rotated<kStep>(value, lanes)), combine);
  }
}
inline float sum_of(Vector value) { return over_lanes(value, plus); }

/// Lane i of the result is combine() of all lanes of rows[i]; for rows of kLanes vectors, which are
/// overwritten.
template <int kStep = 1, class Combine>
inline Vector over_lanes_of_rows(Vector* rows, const Combine& combine) {
  if constexpr (kStep == kLanes) {
    return rows[0];
  } else {
    constexpr std::make_integer_sequence<int, kLanes> lanes;
    for (int i = 0; i < kLanes; i += 2 * kStep) {
      swap_blocks_of<kStep>(rows[i], rows[i + kStep], lanes);
      rows[i] = combine(rows[i], rows[i + kStep]);
    }
    return over_lanes_of_rows<2 * kStep>(rows, combine);
  }
}

/// As store() of each lane: rounds to nearest even, and keeps denormals.
inline void store_rounded(float* to, Vector value) { store_vector(to, value); }
inline void store_rounded(Bf16* to, Vector value) {
  const auto bits = reinterpret_cast<VectorBits>(value);
  const VectorBits rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const VectorBits quiet = (bits >> 16) | 0x40u;
  const VectorBits chosen = (bits & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded;
  using Half = uint16_t __attribute__((vector_size(2 * kLanes)));
  const Half half = __builtin_convertvector(chosen, Half);
  std::memcpy(to, &half, sizeof half);
}

#if defined(__AVX512BF16__)
/// Rounds to nearest even; denormals become 0.
inline void store_vector(Bf16* to, Vector value) {
  const __m256bh rounded = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(value));
  std::memcpy(to, &rounded, sizeof rounded);
}

/// Two vectors rounded to bfloat16, one after the other.
inline void store_vectors(Bf16* to, Vector first, Vector second) {
  const __m512bh both =
      _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(second), reinterpret_cast<__m512>(first));
  std::memcpy(to, &both, sizeof both);
}

#else
inline void store_vector(Bf16* to, Vector value) { store_rounded(to, value); }

inline void store_vectors(Bf16* to, Vector first, Vector second) {
  store_vector(to, first);
  store_vector(to + kLanes, second);
}
#endif

#if defined(__AVX512BF16__)
/// Two vectors rounded to bfloat16: first_row and second_row as they are, `pairs` with the lanes
/// of the two alternating (32 elements). The row pointers may be null.
inline void store_two(Bf16* first_row, Bf16* second_row, Bf16* pairs, Vector first, Vector second) {
  using Lanes = uint16_t __attribute__((vector_size(64)));
  const auto both = reinterpret_cast<Lanes>(
      _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(second), reinterpret_cast<__m512>(first)));
  if (first_row) {
    constexpr std::size_t kHalf = sizeof both / 2;
    std::memcpy(first_row, &both, kHalf);
    std::memcpy(second_row, reinterpret_cast<const std::byte*>(&both) + kHalf, kHalf);
  }
  const Lanes alternating =
      __builtin_shufflevector(both, both, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8,
                              24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  std::memcpy(pairs, &alternating, sizeof alternating);
}
#endif

}  // namespace
}  // namespace switchyard::kernels
