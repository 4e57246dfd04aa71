// For *_isa.cpp files only (see dispatch.h): products of small packed matrices, float32 or bfloat16
// in, float32 out, and the packing they need.
//
// Left factors [M, depth] are row-major. Right factors [depth, N] hold kPair<T> consecutive steps
// of depth side by side: float [depth][N], bfloat16 [depth / 2][N][2], as the dot-product
// instructions read them.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/bf16.h"
#include "kernels/isa_vector.h"

namespace switchyard::kernels {
namespace {

template <class T>
constexpr int64_t kPair = 1;
template <>
constexpr int64_t kPair<Bf16> = 2;

/// What the packed copies of T hold: bfloat16 only where there is a dot product for it.
template <class T>
struct PackedAs {
  using Type = float;
};
#if defined(__AVX512BF16__)
template <>
struct PackedAs<Bf16> {
  using Type = Bf16;
};
#endif
template <class T>
using Packed = typename PackedAs<T>::Type;

constexpr int64_t kMatrixMultiple = 32;  // N and depth of every product
constexpr int64_t kMatrixRowSlack = 16;  // rows that may be read and written beyond M, rounded up

constexpr int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Where a product starts from: row r of C begins as from[r * stride ...], or as 0 if null.
struct Initial {
  const float* from = nullptr;
  int64_t stride = 0;
};

template <class T>
struct Product {
  int64_t rows, columns, depth;  // columns and depth: multiples of kMatrixMultiple
  const T* a;
  int64_t a_stride;  // elements between rows
  const T* b;
  int64_t b_stride;  // columns between steps of depth
  Initial initial;
  float* c;
  int64_t c_stride;
};

#if defined(__AVX512BF16__)
inline Vector splat_pair(const Bf16* from) {
  int32_t pair;
  std::memcpy(&pair, from, sizeof pair);
  return reinterpret_cast<Vector>(_mm512_set1_epi32(pair));
}
inline Vector splat_pair(const float* from) { return splat(*from); }
inline Vector multiply_add(const Bf16*, Vector sum, Vector a, Vector b) {
  return reinterpret_cast<Vector>(_mm512_dpbf16_ps(
      reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b)));
}
#else
inline Vector splat_pair(const float* from) { return splat(*from); }
#endif
inline Vector multiply_add(const float*, Vector sum, Vector a, Vector b) { return sum + a * b; }

/// kRows x kVectors of C, kept in registers.
template <class T, int kRows, int kVectors>
inline void register_block(const Product<T>& in, int64_t row, int64_t column) {
  constexpr int64_t kStep = kPair<T>;
  Vector sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = in.initial.from
                      ? load(in.initial.from + (row + r) * in.initial.stride + column + v * kLanes)
                      : Vector{};
    }
  }
  const T* a = in.a + row * in.a_stride;
  const T* b = in.b + column * kStep;
  for (int64_t d = 0; d < in.depth; d += kStep) {
    Vector right[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      std::memcpy(&right[v], b + v * kLanes * kStep, sizeof right[v]);
    }
    for (int r = 0; r < kRows; ++r) {
      const Vector left = splat_pair(a + r * in.a_stride + d);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = multiply_add(a, sum[r][v], left, right[v]);
    }
    b += in.b_stride * kStep;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      store_vector(in.c + (row + r) * in.c_stride + column + v * kLanes, sum[r][v]);
    }
  }
}

template <class T, int kRows, int kVectors>
inline void column_panel(const Product<T>& in, int64_t column) {
  int64_t row = 0;
  for (; row + kRows <= in.rows; row += kRows) register_block<T, kRows, kVectors>(in, row, column);
  for (; row + 4 <= in.rows; row += 4) register_block<T, 4, kVectors>(in, row, column);
  for (; row < in.rows; ++row) register_block<T, 1, kVectors>(in, row, column);
}

/// C = initial + A B.
template <class T>
void multiply(const Product<T>& in) {
  int64_t column = 0;
#if defined(__AVX512F__)
  // 32 registers: 24 sums.
  for (; column + 4 * kLanes <= in.columns; column += 4 * kLanes) column_panel<T, 6, 4>(in, column);
  for (; column < in.columns; column += 2 * kLanes) column_panel<T, 12, 2>(in, column);
#else
  // 16 registers: 12 sums.
  for (; column < in.columns; column += 2 * kLanes) column_panel<T, 6, 2>(in, column);
#endif
}

#if defined(__AMX_BF16__) || defined(__AMXBF16__)  // GCC, Clang 14
/// Two tiles of 16 columns by one or two tiles of 16 rows of C: sums in tiles 0 to 3.
template <bool kTwoRows>
inline void tile_block(const Product<Bf16>& in, int64_t row, int64_t column) {
  constexpr int64_t kSide = 16, kDepth = 32;
  constexpr auto kFloat = static_cast<int64_t>(sizeof(float));
  constexpr auto kBf16 = static_cast<int64_t>(sizeof(Bf16));
  if (in.initial.from) {
    const float* from = in.initial.from + row * in.initial.stride + column;
    const int64_t stride = in.initial.stride * kFloat;
    _tile_loadd(0, from, stride);
    _tile_loadd(1, from + kSide, stride);
    if constexpr (kTwoRows) {
      from += kSide * in.initial.stride;
      _tile_loadd(2, from, stride);
      _tile_loadd(3, from + kSide, stride);
    }
  } else {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (kTwoRows) {
      _tile_zero(2);
      _tile_zero(3);
    }
  }
  const Bf16* a = in.a + row * in.a_stride;
  const Bf16* b = in.b + 2 * column;
  for (int64_t d = 0; d < in.depth; d += kDepth) {
    _tile_loadd(4, a + d, in.a_stride * kBf16);
    _tile_loadd(6, b, in.b_stride * 2 * kBf16);
    _tile_loadd(7, b + 2 * kSide, in.b_stride * 2 * kBf16);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kTwoRows) {
      _tile_loadd(5, a + kSide * in.a_stride + d, in.a_stride * kBf16);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    b += kDepth * in.b_stride;
  }
  float* c = in.c + row * in.c_stride + column;
  _tile_stored(0, c, in.c_stride * kFloat);
  _tile_stored(1, c + kSide, in.c_stride * kFloat);
  if constexpr (kTwoRows) {
    c += kSide * in.c_stride;
    _tile_stored(2, c, in.c_stride * kFloat);
    _tile_stored(3, c + kSide, in.c_stride * kFloat);
  }
}

inline void multiply(const Product<Bf16>& in) {
  for (int64_t row = 0; row < in.rows; row += 32) {
    for (int64_t column = 0; column < in.columns; column += 32) {
      if (in.rows - row > 16) {
        tile_block<true>(in, row, column);
      } else {
        tile_block<false>(in, row, column);
      }
    }
  }
}
#endif

/// Must live on a thread while it multiplies: sets up the tile registers where there are any.
class MatrixScope {
 public:
#if defined(__AMX_BF16__) || defined(__AMXBF16__)  // GCC, Clang 14
  MatrixScope() {
    // Eight tiles of 16 rows by 64 bytes; the layout is the processor's.
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } const config;
    _tile_loadconfig(&config);
  }
  ~MatrixScope() { _tile_release(); }
#else
  MatrixScope() {}
#endif
  MatrixScope(const MatrixScope&) = delete;
  MatrixScope& operator=(const MatrixScope&) = delete;
};

/// [rows, columns] with `stride` -> [padded_rows, padded_columns] dense, zeros around it.
template <class From, class To>
void pack_rows(const From* from, int64_t stride, int64_t rows, int64_t columns, To* to,
               int64_t padded_rows, int64_t padded_columns) {
  for (int64_t r = 0; r < rows; ++r) {
    To* row = to + r * padded_columns;
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(row, from + r * stride, static_cast<std::size_t>(columns) * sizeof(To));
    } else {
      const From* source = from + r * stride;
#pragma omp simd
      for (int64_t i = 0; i < columns; ++i) row[i] = to_float(source[i]);
    }
    for (int64_t i = columns; i < padded_columns; ++i) row[i] = To{};
  }
  std::memset(static_cast<void*>(to + rows * padded_columns), 0,
              static_cast<std::size_t>((padded_rows - rows) * padded_columns) * sizeof(To));
}

/// Two rows side by side: even[0], odd[0], even[1], odd[1], ...
inline void interleave(const Bf16* even, const Bf16* odd, int64_t columns, Bf16* to) {
#pragma omp simd
  for (int64_t i = 0; i < columns; ++i) {
    const uint32_t pair = even[i].bits | static_cast<uint32_t>(odd[i].bits) << 16;
    std::memcpy(to + 2 * i, &pair, sizeof pair);
  }
}

/// Two rows side by side as interleave() does, the pairs of even columns to one place and those of
/// odd columns to another. columns: a multiple of 32.
inline void interleave_apart(const Bf16* even, const Bf16* odd, int64_t columns, Bf16* even_columns,
                             Bf16* odd_columns) {
  for (int64_t i = 0; i < columns; i += 2 * kLanes) {
    VectorBits a, b;
    std::memcpy(&a, even + i, sizeof a);
    std::memcpy(&b, odd + i, sizeof b);
    const VectorBits first = (a & 0xFFFFu) | (b << 16), second = (a >> 16) | (b & 0xFFFF0000u);
    std::memcpy(even_columns + i, &first, sizeof first);
    std::memcpy(odd_columns + i, &second, sizeof second);
  }
}

/// Dense rows [rows, columns] -> the right factor of the same shape. rows: a multiple of 2.
inline void interleave_rows(const Bf16* from, int64_t rows, int64_t columns, Bf16* to) {
  for (int64_t r = 0; r < rows; r += 2) {
    interleave(from + r * columns, from + (r + 1) * columns, columns, to + r * columns);
  }
}

/// Swaps, in a square of vectors, the two blocks beside the diagonal of each square of 2 * kStep.
template <int kStep>
inline void swap_blocks(Vector* rows) {
  constexpr std::make_integer_sequence<int, kLanes> lanes;
  for (int i = 0; i < kLanes; ++i) {
    if (i & kStep) continue;
    swap_blocks_of<kStep>(rows[i], rows[i + kStep], lanes);
  }
}

/// A square of vectors becomes its transpose.
inline void transpose_square(Vector* rows) {
  swap_blocks<1>(rows);
  swap_blocks<2>(rows);
  if constexpr (kLanes > 4) swap_blocks<4>(rows);
  if constexpr (kLanes > 8) swap_blocks<8>(rows);
}

/// 32-bit elements: [rows, columns] with `stride` -> [columns, rows] with `to_stride`. Multiples of
/// 16. On pairs of bfloat16 this makes right factors of left ones' transposes, and back.
inline void transpose(const void* from_bytes, int64_t stride, int64_t rows, int64_t columns,
                      void* to_bytes, int64_t to_stride) {
  const auto* from = static_cast<const float*>(from_bytes);
  auto* to = static_cast<float*>(to_bytes);
  for (int64_t r = 0; r < rows; r += kLanes) {
    for (int64_t c = 0; c < columns; c += kLanes) {
      Vector square[kLanes];
      for (int i = 0; i < kLanes; ++i) square[i] = load(from + (r + i) * stride + c);
      transpose_square(square);
      for (int i = 0; i < kLanes; ++i) store_vector(to + (c + i) * to_stride + r, square[i]);
    }
  }
}

}  // namespace
}  // namespace switchyard::kernels
