// Elementwise pieces shared by the ops of this folder and their references.
#pragma once

#include <ATen/ATen.h>

#include "base/random.h"
#include "ops/ops.h"

namespace switchyard::ops {

/// Mask of kept elements, already scaled by 1 / (1 - rate), in the type of `like` [R, F]. Row r
/// uses the draws of `keys[r]` ([R] int64), so that a token's mask does not depend on where it was
/// put.
at::Tensor dropout_mask(const at::Tensor& like, const at::Tensor& keys, double rate,
                        const RandomStream& stream, DropoutColumns columns = {});

/// Dropout inside an expert, differentiable: row r is keyed by its (token, choice) pair.
at::Tensor expert_dropout(const at::Tensor& hidden, const at::Tensor& choices, double rate,
                          const RandomStream& stream);

/// The activations and their gradients without autograd, into `out` (CPU; everything contiguous).
/// relu: out may be x; its gradient: from the output y, out may be dy. geglu: x [..., 2F],
/// out [..., F]; its gradient: out [..., 2F].
void relu_out(const at::Tensor& x, const at::Tensor& out);
void relu_backward_out(const at::Tensor& y, const at::Tensor& dy, const at::Tensor& out);
void geglu_out(const at::Tensor& x, const at::Tensor& out);
void geglu_backward_out(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& out);

}  // namespace switchyard::ops
