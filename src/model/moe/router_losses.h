// Losses that keep a router healthy. T: tokens, E: experts. Gradients by autograd.
#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace switchyard {

/// Load-balancing loss without its factor alpha (paper equations 4-6): per group E * sum_i f_i P_i,
/// averaged over groups by their real tokens; 1 for a uniform router whatever E. f counts first
/// choices before capacity and carries no gradient.
/// probabilities [T, E]; expert [T] int64, -1 for padding, which counts in neither f nor P.
at::Tensor balance_loss(const at::Tensor& probabilities, const at::Tensor& expert,
                        const std::vector<int64_t>& group_ends);

/// Mean over real tokens of (log sum exp of the logits)^2 (ST-MoE; research note 7).
/// logits [T, E] float32; valid [T] bool or undefined.
at::Tensor router_z_loss(const at::Tensor& logits, const at::Tensor& valid);

}  // namespace switchyard
