// Elementwise pieces shared by the ops of this folder and their references.
#pragma once

#include <ATen/ATen.h>

#include "base/random.h"

namespace switchyard::ops {

/// Mask of kept elements, already scaled by 1 / (1 - rate), in the type of `like` [R, F]. Row r uses
/// the draws of `keys[r]` ([R] int64), so that a token's mask does not depend on where it was put.
at::Tensor dropout_mask(const at::Tensor& like, const at::Tensor& keys, double rate,
                        const RandomStream& stream);

/// Dropout inside an expert, differentiable: row r is keyed by its (token, choice) pair.
at::Tensor expert_dropout(const at::Tensor& hidden, const at::Tensor& choices, double rate,
                          const RandomStream& stream);

/// Derivative of geglu: given x [..., 2F] and the output's gradient [..., F] -> [..., 2F].
at::Tensor geglu_backward(const at::Tensor& x, const at::Tensor& gradient);

}  // namespace switchyard::ops
