// Products of few rows, as decoding makes them: y = x W^T of several weight matrices in one call,
// W row-major [outputs, depth] as models store it, never packed. Made for few rows, where reading W
// is what costs; tile registers take hundreds of rows about as fast as kernels/gemm.h does.
// T: float or Bf16. Any sizes >= 0, any alignment; no output may overlap an input or another
// output. Uses the threads of OpenMP. A row's result is the same to the bit whatever the other
// rows, their number, the other products of the call and the number of threads. Throws
// std::bad_alloc.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dispatch.h"

namespace switchyard::kernels {

enum class FewRowFinish {
  kStore,  // wide = factor * sum
  kAdd,    // wide += factor * sum
  kRelu,   // narrow = max(0, sum); NaN stays NaN
};

template <class T>
struct FewRowProduct {
  const T* weights;  // [outputs, depth]
  int64_t outputs, depth;
  const T* x;  // [rows, depth]
  int64_t rows;
  FewRowFinish finish;
  const float* factors;   // [rows] or null: 1
  const int64_t* places;  // row r goes to row places[r] of y (null: r); no two to the same
  float* wide;            // y of kStore and kAdd
  T* narrow;              // y of kRelu
  int64_t y_stride;       // elements between rows of y
};

struct FewRowTable {
  void (*products_f32)(const FewRowProduct<float>*, int64_t count);
  void (*products_bf16)(const FewRowProduct<Bf16>*, int64_t count);
};

void few_row_products(const FewRowProduct<float>* products, int64_t count);
void few_row_products(const FewRowProduct<Bf16>* products, int64_t count);

}  // namespace switchyard::kernels
