// For gemm_isa.cpp only (see dispatch.h): bfloat16 matrices in the forms that products read, in
// bfloat16 or, where there is no dot product for it, widened to float.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/isa_matrix.h"

namespace switchyard::kernels {
namespace {

// Columns of a right factor: as wide as a block of registers or tiles.
#if defined(__AMX_BF16__) || defined(__AMXBF16__)
constexpr int64_t kPanel = 32;
#else
constexpr int64_t kPanel = 64;
#endif

// Elements between the rows of a left factor: an odd number of cache lines, so that the rows of a
// block do not fall on the same sets of the cache.
template <class P>
int64_t left_stride(int64_t depth) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(P));
  return round_up(depth, 2 * kLine) + kLine;
}

template <class P>
struct Left {
  const P* rows;
  int64_t stride;
};

/// The rows themselves as a left factor, or null if they must be widened or if too many of them
/// would fall on the same sets of the cache.
template <class P>
const P* in_place(const Bf16* rows, int64_t stride) {
  constexpr int64_t kAliasing = 2048 / static_cast<int64_t>(sizeof(Bf16));
  if constexpr (std::is_same_v<P, Bf16>) {
    return stride % kAliasing == 0 ? nullptr : rows;
  } else {
    return nullptr;
  }
}

/// Rows [rows, columns <= kPanel] -> the right factor [padded_rows, kPanel], zeros around it.
inline void pack_panel(const Bf16* from, int64_t stride, int64_t rows, int64_t columns, float* to,
                       int64_t padded_rows) {
  pack_rows(from, stride, rows, columns, to, padded_rows, kPanel);
}
inline void pack_panel(const Bf16* from, int64_t stride, int64_t rows, int64_t columns, Bf16* to,
                       int64_t padded_rows) {
  const int64_t whole = columns == kPanel ? rows / 2 * 2 : 0;
  for (int64_t r = 0; r < whole; r += 2) {
    interleave(from + r * stride, from + (r + 1) * stride, kPanel, to + r * kPanel);
  }
  alignas(64) Bf16 pair[2 * kPanel];
  for (int64_t r = whole; r < padded_rows; r += 2) {
    const int64_t count = std::clamp<int64_t>(rows - r, 0, 2);
    pack_rows(from + r * stride, stride, count, columns, pair, 2, kPanel);
    interleave(pair, pair + kPanel, kPanel, to + r * kPanel);
  }
}

/// Rows [columns <= kPanel, depth] -> the right factor [padded_depth, kPanel] of their transpose.
/// staging: [kPanel, padded_depth].
inline void pack_transposed_panel(const Bf16* from, int64_t stride, int64_t columns, int64_t depth,
                                  float* to, int64_t padded_depth, float* staging) {
  pack_rows(from, stride, columns, depth, staging, kPanel, padded_depth);
  transpose(staging, padded_depth, kPanel, padded_depth, to, kPanel);
}
inline void pack_transposed_panel(const Bf16* from, int64_t stride, int64_t columns, int64_t depth,
                                  Bf16* to, int64_t padded_depth, Bf16* staging) {
  if (columns < kPanel || depth < padded_depth || stride % 2 != 0) {
    pack_rows(from, stride, columns, depth, staging, kPanel, padded_depth);
    from = staging;
    stride = padded_depth;
  }
  transpose(from, stride / 2, kPanel, padded_depth / 2, to, kPanel);
}

/// Rows [rows, columns] -> the left factor [padded_columns, padded_rows] of their transpose, its
/// rows to_stride apart. staging: [2, kMatrixMultiple, padded_columns].
inline void pack_transposed_rows(const Bf16* from, int64_t stride, int64_t rows, int64_t columns,
                                 float* to, int64_t to_stride, int64_t padded_rows,
                                 int64_t padded_columns, float* staging) {
  for (int64_t r = 0; r < padded_rows; r += kMatrixMultiple) {
    const int64_t count = std::clamp<int64_t>(rows - r, 0, kMatrixMultiple);
    pack_rows(from + r * stride, stride, count, columns, staging, kMatrixMultiple, padded_columns);
    transpose(staging, padded_columns, kMatrixMultiple, padded_columns, to + r, to_stride);
  }
}
inline void pack_transposed_rows(const Bf16* from, int64_t stride, int64_t rows, int64_t columns,
                                 Bf16* to, int64_t to_stride, int64_t padded_rows,
                                 int64_t padded_columns, Bf16* staging) {
  Bf16* const padded = staging + kMatrixMultiple * padded_columns;
  for (int64_t r = 0; r < padded_rows; r += kMatrixMultiple) {
    const Bf16* source = from + r * stride;
    int64_t source_stride = stride;
    if (r + kMatrixMultiple > rows || columns < padded_columns) {
      const int64_t count = std::clamp<int64_t>(rows - r, 0, kMatrixMultiple);
      pack_rows(source, stride, count, columns, padded, kMatrixMultiple, padded_columns);
      source = padded;
      source_stride = padded_columns;
    }
    // Pairs of even and of odd columns, [16, padded_columns / 2] each.
    Bf16* const odd = staging + kMatrixMultiple / 2 * padded_columns;
    for (int64_t i = 0; i < kMatrixMultiple / 2; ++i) {
      const Bf16* pair = source + 2 * i * source_stride;
      interleave_apart(pair, pair + source_stride, padded_columns, staging + i * padded_columns,
                       odd + i * padded_columns);
    }
    const int64_t width = padded_columns / 2;
    transpose(staging, width, kMatrixMultiple / 2, width, to + r, to_stride);
    transpose(odd, width, kMatrixMultiple / 2, width, to + r + to_stride, to_stride);
  }
}

}  // namespace
}  // namespace switchyard::kernels
