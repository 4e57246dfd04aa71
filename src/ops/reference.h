// Plain LibTorch versions of the ops: slow, obviously right, any float type, gradients by autograd.
// Tests compare the fused ops with them; machines without the fused kernels run them.
#pragma once

#include <ATen/ATen.h>

#include "ops/ops.h"

namespace switchyard::reference {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& scale, double epsilon);

/// gelu_tanh(a) * b with [a | b] = x along the last axis.
at::Tensor geglu(const at::Tensor& x);

at::Tensor jitter(const at::Tensor& x, double amount, const RandomStream& stream,
                  int64_t first_row);

/// Forms the [S, T] bias and mask tensors.
at::Tensor attention(const ops::AttentionInput& input);

/// A loop over the tokens' experts with index_select and index_add; gradients of all arguments.
at::Tensor expert_feed_forward(const at::Tensor& x, const RoutingPlan& plan, const at::Tensor& wi,
                               const at::Tensor& wo, const ops::ExpertOptions& options);
at::Tensor expert_linear(const at::Tensor& x, const RoutingPlan& plan, const at::Tensor& w);

struct CrossEntropy {
  at::Tensor loss_sum, z_sum, correct, token_log_probs;
};
/// Forms the logits [N, V] in float32 (float64 for float64 input).
CrossEntropy cross_entropy(const at::Tensor& hidden, const at::Tensor& table,
                           const at::Tensor& targets, double scale);

struct Teacher {
  at::Tensor hidden, table;
  double scale, temperature;
};
struct Distillation {
  CrossEntropy hard;
  at::Tensor soft_sum;
};
Distillation distillation(const at::Tensor& hidden, const at::Tensor& table,
                          const at::Tensor& targets, double scale, const Teacher& teacher);

}  // namespace switchyard::reference
