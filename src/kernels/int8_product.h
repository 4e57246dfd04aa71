// Products of few rows with weights of 8 bits: y = x W^T as kernels/few_row_product.h, with both
// factors as integers and a scale for each row of either. Sums of integers are exact: results are
// the same to the bit on every instruction set. Uses the threads of OpenMP. Any alignment; outputs
// overlap nothing.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dispatch.h"
#include "kernels/few_row_product.h"

namespace switchyard::kernels {

/// Deepest product: its sums fit in 32 bits.
inline constexpr int64_t kMaxInt8Depth = 1 << 17;

/// Each row by itself to integers from -127 to 127, nearest, ties to even: x is about scale * y.
/// T: float or Bf16.
template <class T>
struct QuantizeRows {
  const T* x;  // [rows, width]
  int64_t rows, width;
  int8_t* y;      // [rows, width]
  float* scales;  // [rows] largest absolute value / 127; 0: all are, or nearly (below 1e-30);
                  // NaN: some number of the row is not finite, and y means nothing
};

/// Output o of row r is (x_scales[r] * scales[o]) * sum over the depth of x * weights, which goes
/// where FewRowProduct's sums go. Fields as there.
struct Int8Product {
  const int8_t* weights;   // [outputs, depth]
  const float* scales;     // [outputs]
  int64_t outputs, depth;  // depth <= kMaxInt8Depth
  const int8_t* x;         // [rows, depth], from -127 to 127
  const float* x_scales;   // [rows]
  int64_t rows;
  FewRowFinish finish;
  const float* factors;
  const int64_t* places;
  float* wide;
  Bf16* narrow;
  int64_t y_stride;
};

struct Int8ProductTable {
  void (*quantize_f32)(const QuantizeRows<float>&);
  void (*quantize_bf16)(const QuantizeRows<Bf16>&);
  void (*products)(const Int8Product*, int64_t count);
};

void quantize_rows(const QuantizeRows<float>& arguments);
void quantize_rows(const QuantizeRows<Bf16>& arguments);
/// A row's result depends on nothing else. Throws std::bad_alloc.
void few_row_products(const Int8Product* products, int64_t count);

}  // namespace switchyard::kernels
