// T5's norm, y = scale * x / sqrt(mean(x^2) + epsilon), float32 inside, and its gradient. T: float
// or Bf16. [N, D] row-major, any alignment. Uses the threads of OpenMP; results do not depend on
// their number. No output may overlap an input, except that dx may be dy.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dispatch.h"

namespace switchyard::kernels {

template <class T>
struct RmsNormForward {
  const T* x;          // [N, D]
  const float* scale;  // [D]
  int64_t rows, width;
  float epsilon;
  T* y;         // [N, D]
  float* rstd;  // [N]: 1 / sqrt(mean(x^2) + epsilon), kept for the gradient
};

template <class T>
struct RmsNormBackward {
  const T* dy;         // [N, D]
  const T* x;          // [N, D]
  const float* scale;  // [D]
  const float* rstd;   // [N]
  int64_t rows, width;
  const T* residual;  // [N, D] or null: added to dx, the gradient of x's other use
  T* dx;              // [N, D] or null
  float* dscale;      // [D]
  bool accumulate;    // add to dscale, else overwrite it
};

struct RmsNormTable {
  void (*forward_f32)(const RmsNormForward<float>&);
  void (*forward_bf16)(const RmsNormForward<Bf16>&);
  void (*backward_f32)(const RmsNormBackward<float>&);
  void (*backward_bf16)(const RmsNormBackward<Bf16>&);
};

void rms_norm_forward(const RmsNormForward<float>& arguments);
void rms_norm_forward(const RmsNormForward<Bf16>& arguments);
void rms_norm_backward(const RmsNormBackward<float>& arguments);
void rms_norm_backward(const RmsNormBackward<Bf16>& arguments);

}  // namespace switchyard::kernels
