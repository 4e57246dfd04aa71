// Activations of the feed-forward layers and their gradients, float32 inside. T: float or Bf16. Any
// alignment; outputs may be the inputs of the same shape. NaN stays NaN. Uses the threads of
// OpenMP.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dispatch.h"

namespace switchyard::kernels {

struct ActivationTable {
  void (*relu_f32)(const float*, int64_t, float*);
  void (*relu_bf16)(const Bf16*, int64_t, Bf16*);
  void (*relu_backward_f32)(const float*, const float*, int64_t, float*);
  void (*relu_backward_bf16)(const Bf16*, const Bf16*, int64_t, Bf16*);
  void (*geglu_f32)(const float*, int64_t, int64_t, float*);
  void (*geglu_bf16)(const Bf16*, int64_t, int64_t, Bf16*);
  void (*geglu_backward_f32)(const float*, const float*, int64_t, int64_t, float*);
  void (*geglu_backward_bf16)(const Bf16*, const Bf16*, int64_t, int64_t, Bf16*);
};

/// y = max(x, 0), [count].
void relu(const float* x, int64_t count, float* y);
void relu(const Bf16* x, int64_t count, Bf16* y);

/// dx = dy where y > 0, else 0; y is ReLU's output (or its input), [count].
void relu_backward(const float* y, const float* dy, int64_t count, float* dx);
void relu_backward(const Bf16* y, const Bf16* dy, int64_t count, Bf16* dx);

/// y = gelu(a) * b with [a | b] = x [rows, 2 * width], gelu in its tanh form -> [rows, width].
void geglu(const float* x, int64_t rows, int64_t width, float* y);
void geglu(const Bf16* x, int64_t rows, int64_t width, Bf16* y);

/// Gradient with respect to x, from x and dy [rows, width] -> [rows, 2 * width].
void geglu_backward(const float* x, const float* dy, int64_t rows, int64_t width, float* dx);
void geglu_backward(const Bf16* x, const Bf16* dy, int64_t rows, int64_t width, Bf16* dx);

}  // namespace switchyard::kernels
