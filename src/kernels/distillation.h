// The loss of a student that learns from labels and from a teacher's probabilities (Hinton et al.
// 2015; paper section 2.3), row by row over logits, and its gradient in their place, float32
// inside. With x = scale * logits, y = teacher_scale * teacher, tau the temperature and
// log Z(x) = log sum exp(x), the loss of a row is
//   hard * (log Z(x) - x[target]) + z_weight * (log Z(x))^2 + soft * tau^2 * S,
//   S = -sum_v softmax(y / tau)[v] * log softmax(x / tau)[v].
// T: float or Bf16. [N, V] row-major, any alignment; target 0 marks padding, which has no loss and
// no gradient; the other targets must be below V. Uses the threads of OpenMP, each row on one of
// them.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dispatch.h"

namespace switchyard::kernels {

/// The soft part alone: what it and its gradient need of each row.
template <class T>
struct SoftLossForward {
  const T *logits, *teacher;  // [N, V]
  const int64_t* targets;     // [N]
  int64_t rows, width;
  float scale, teacher_scale;    // already divided by tau
  float* loss;                   // [N] S; 0 for padding
  float *log_z, *teacher_log_z;  // [N] of x / tau and y / tau; 0 for padding
};

template <class T>
struct DistillationBackward {
  T* logits;               // [N, V], overwritten by `gradient` times the gradient of the loss
  const T* teacher;        // [N, V]
  const int64_t* targets;  // [N]
  const float* log_z;      // [N] of x (kernels/cross_entropy.h)
  const float *soft_log_z, *teacher_log_z;  // [N] from SoftLossForward
  int64_t rows, width;
  float scale, teacher_scale, temperature;  // not divided
  float hard, soft, z_weight, gradient;
};

struct DistillationTable {
  void (*soft_forward_f32)(const SoftLossForward<float>&);
  void (*soft_forward_bf16)(const SoftLossForward<Bf16>&);
  void (*backward_f32)(const DistillationBackward<float>&);
  void (*backward_bf16)(const DistillationBackward<Bf16>&);
};

void soft_loss_forward(const SoftLossForward<float>& arguments);
void soft_loss_forward(const SoftLossForward<Bf16>& arguments);
void distillation_backward(const DistillationBackward<float>& arguments);
void distillation_backward(const DistillationBackward<Bf16>& arguments);

}  // namespace switchyard::kernels
