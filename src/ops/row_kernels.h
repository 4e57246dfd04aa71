// Row-wise loops of the expert dispatch, one pass each, for float, double and bfloat16 rows of
// equal width. Compiled for several instruction sets, chosen at load time. Thread-safe on distinct
// rows.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace switchyard::rows {

/// out[index[r]] = y[r] * gate[r] for r < count: the combine of top-1 routing.
void scatter_scaled(const float* y, const float* gate, const int64_t* index, int64_t count,
                    int64_t width, float* out);
void scatter_scaled(const double* y, const double* gate, const int64_t* index, int64_t count,
                    int64_t width, double* out);
void scatter_scaled(const c10::BFloat16* y, const float* gate, const int64_t* index, int64_t count,
                    int64_t width, c10::BFloat16* out);

/// Backward of it, first half: with u = upstream[index[r]], scaled[r] = u * gate[r] and
/// dot[r] = sum u * y[r].
void gather_scaled(const float* upstream, const float* y, const float* gate, const int64_t* index,
                   int64_t count, int64_t width, float* scaled, float* dot);
void gather_scaled(const double* upstream, const double* y, const double* gate,
                   const int64_t* index, int64_t count, int64_t width, double* scaled, double* dot);
void gather_scaled(const c10::BFloat16* upstream, const c10::BFloat16* y, const float* gate,
                   const int64_t* index, int64_t count, int64_t width, c10::BFloat16* scaled,
                   float* dot);

}  // namespace switchyard::rows
