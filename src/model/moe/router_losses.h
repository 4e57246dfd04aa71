// Losses that keep a router healthy. T: tokens, E: experts, G: routing groups. Gradients by
// autograd.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "model/moe/profile.h"
#include "ops/routing_plan.h"

namespace switchyard {

/// The load-balancing loss of one layer as a product, so that a profile can average its halves over
/// layers first: the loss is the sum of factors * sums.
struct BalanceTerms {
  at::Tensor
      factors;      // [G, E] float64, no gradient: weight of the group * E * f / tokens of P's mean
  at::Tensor sums;  // [G, E] float64, differentiable: sum of the probabilities
};

/// probabilities [T, E]; choices [T, K] int64, the experts that count in f, -1 for none; valid [T]
/// bool or undefined: without padding.
BalanceTerms balance_terms(const at::Tensor& probabilities, const at::Tensor& choices,
                           const at::Tensor& valid, const std::vector<int64_t>& group_ends,
                           const BalanceRule& rule);

/// The choices of a plan that the rule counts in f, [T, K] with K = 1 unless it counts all.
at::Tensor counted_choices(const RoutingPlan& plan, const at::Tensor& probabilities,
                           const BalanceRule& rule);

/// Scalar of `type` (float32 or float64).
at::Tensor balance_loss(const BalanceTerms& terms, at::ScalarType type);

/// Load-balancing loss without its factor alpha (paper equations 4-6): per group E * sum_i f_i P_i,
/// averaged over groups by their real tokens; 1 for a uniform router whatever E. f counts first
/// choices before capacity and carries no gradient.
/// probabilities [T, E]; expert [T] int64, -1 for padding, which counts in neither f nor P.
at::Tensor balance_loss(const at::Tensor& probabilities, const at::Tensor& expert,
                        const std::vector<int64_t>& group_ends);

/// Mean over real tokens of (log sum exp of the logits)^2 (ST-MoE).
/// logits [T, E] float32; valid [T] bool or undefined.
at::Tensor router_z_loss(const at::Tensor& logits, const at::Tensor& valid);

}  // namespace switchyard
