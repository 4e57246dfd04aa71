// For gemm_isa.cpp only (see dispatch.h): bfloat16 matrices in the forms that products read, in
// bfloat16 or, where there is no dot product for it, widened to float.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/isa_matrix.h"

namespace switchyard::kernels {
namespace {

constexpr int64_t kPanel = 64;  // columns of a right factor

template <class P>
struct Left {
  const P* rows;
  int64_t stride;
};

/// The rows themselves as a left factor, or null if they must be widened.
template <class P>
const P* in_place(const Bf16* rows) {
  if constexpr (std::is_same_v<P, Bf16>) {
    return rows;
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

/// Rows [rows, columns] -> the left factor [padded_columns, padded_rows] of their transpose.
/// staging: [2, kMatrixMultiple, padded_columns].
inline void pack_transposed_rows(const Bf16* from, int64_t stride, int64_t rows, int64_t columns,
                                 float* to, int64_t padded_rows, int64_t padded_columns,
                                 float* staging) {
  for (int64_t r = 0; r < padded_rows; r += kMatrixMultiple) {
    const int64_t count = std::clamp<int64_t>(rows - r, 0, kMatrixMultiple);
    pack_rows(from + r * stride, stride, count, columns, staging, kMatrixMultiple, padded_columns);
    transpose(staging, padded_columns, kMatrixMultiple, padded_columns, to + r, padded_rows);
  }
}
inline void pack_transposed_rows(const Bf16* from, int64_t stride, int64_t rows, int64_t columns,
                                 Bf16* to, int64_t padded_rows, int64_t padded_columns,
                                 Bf16* staging) {
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
    for (int64_t i = 0; i < kMatrixMultiple; i += 2) {
      interleave(source + i * source_stride, source + (i + 1) * source_stride, padded_columns,
                 staging + i * padded_columns);
    }
    transpose(staging, padded_columns, kMatrixMultiple / 2, padded_columns, to + r,
              padded_rows / 2);
  }
}

}  // namespace
}  // namespace switchyard::kernels
