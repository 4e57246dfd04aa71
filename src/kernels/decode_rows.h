// What decoding does to rows between its products: the residual stream is float32, what a product
// reads is T (float or Bf16), logits become log-probabilities. Rows are dense and row-major.
// Uses the threads of OpenMP where there is enough to do; a row's result depends on nothing else.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dispatch.h"

namespace switchyard::kernels {

/// T5's norm: y = scale * x / sqrt(mean(x^2) + epsilon).
template <class T>
struct NormRows {
  const float* x;      // [rows, width]
  const float* scale;  // [width]
  int64_t rows, width;
  float epsilon;
  T* y;  // [rows, width]
};

/// y = gelu_tanh(gate) * linear.
template <class T>
struct GegluRows {
  const float* x;  // [rows, 2 * width]: gate, then linear
  int64_t rows, width;
  T* y;  // [rows, width]
};

struct LogSoftmaxRows {
  float* x;  // [rows, width], in place
  int64_t rows, width;
  float* log_sums;  // [rows]: what was subtracted
};

struct DecodeRowsTable {
  void (*norm_f32)(const NormRows<float>&);
  void (*norm_bf16)(const NormRows<Bf16>&);
  void (*geglu_f32)(const GegluRows<float>&);
  void (*geglu_bf16)(const GegluRows<Bf16>&);
  void (*log_softmax)(const LogSoftmaxRows&);
};

void norm_rows(const NormRows<float>& arguments);
void norm_rows(const NormRows<Bf16>& arguments);
void geglu_rows(const GegluRows<float>& arguments);
void geglu_rows(const GegluRows<Bf16>& arguments);
/// A NaN or infinity makes the first element of its row NaN.
void log_softmax_rows(const LogSoftmaxRows& arguments);

}  // namespace switchyard::kernels
