// The three products of a layer without bias, dense (one group) or of experts (a group each).
// bfloat16 on the CPU takes our kernel (kernels/gemm.h), everything else LibTorch's products. No
// autograd. All throw (TORCH_CHECK) if shapes do not fit.
// E: groups, R: rows of all groups, N: outputs, K: inputs.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "ops/parameter.h"

namespace switchyard::ops {

/// Rows offsets[e] to offsets[e + 1] - 1 belong to group e; offsets [E + 1], the first is 0.
using RowOffsets = std::vector<int64_t>;

/// y = x W^T, and max(0, y) if `relu`. x [R, K], weights [E, N, K] or [N, K], y [R, N] contiguous.
void layer_forward(const at::Tensor& x, const RowOffsets& offsets, const at::Tensor& weights,
                   bool relu, const at::Tensor& y);

/// dx = dy W, and 0 where `relu` is defined and not positive. dy [R, N], relu and dx [R, K]
/// contiguous. The second form sums over several layers of one size that read the same x.
void layer_input_gradient(const at::Tensor& dy, const RowOffsets& offsets,
                          const at::Tensor& weights, const at::Tensor& relu, const at::Tensor& dx);
void layer_input_gradient(const std::vector<at::Tensor>& dy, const RowOffsets& offsets,
                          const std::vector<at::Tensor>& weights, const at::Tensor& relu,
                          const at::Tensor& dx);

/// Adds dy^T x of each group to the gradient of `w` ([E, N, K] or [N, K]). dy [R, N], x [R, K].
void layer_weight_gradient(const at::Tensor& dy, const at::Tensor& x, const RowOffsets& offsets,
                           Parameter& w);

}  // namespace switchyard::ops
