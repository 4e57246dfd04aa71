// Softmax cross-entropy over rows of logits, and its gradient in their place, float32 inside. With
// x = scale * logits and log Z = log sum exp(x), the loss of a row is
//   log Z - x[target] + z_weight * (log Z)^2.
// T: float or Bf16. [N, V] row-major, any alignment; target 0 marks padding, which has no loss and
// no gradient; the other targets must be below V. Uses the threads of OpenMP, each row on one of
// them.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dispatch.h"

namespace switchyard::kernels {

template <class T>
struct CrossEntropyForward {
  const T* logits;         // [N, V]
  const int64_t* targets;  // [N]
  int64_t rows, width;
  float scale;
  float* log_probs;  // [N] x[target] - log Z; 0 for padding
  float* log_z;      // [N]; 0 for padding
  bool* correct;     // [N] whether the lowest index among the largest logits is the target
};

template <class T>
struct CrossEntropyBackward {
  T* logits;               // [N, V], overwritten by `gradient` times the gradient of the loss
  const int64_t* targets;  // [N]
  const float* log_z;      // [N] from forward
  int64_t rows, width;
  float scale, z_weight, gradient;
};

struct CrossEntropyTable {
  void (*forward_f32)(const CrossEntropyForward<float>&);
  void (*forward_bf16)(const CrossEntropyForward<Bf16>&);
  void (*backward_f32)(const CrossEntropyBackward<float>&);
  void (*backward_bf16)(const CrossEntropyBackward<Bf16>&);
};

void cross_entropy_forward(const CrossEntropyForward<float>& arguments);
void cross_entropy_forward(const CrossEntropyForward<Bf16>& arguments);
void cross_entropy_backward(const CrossEntropyBackward<float>& arguments);
void cross_entropy_backward(const CrossEntropyBackward<Bf16>& arguments);

}  // namespace switchyard::kernels
