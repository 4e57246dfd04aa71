// What several routers share: choosing experts by probability and reading off gates.
// T: tokens, E: experts, K: choices.
#pragma once

#include <ATen/ATen.h>

#include "model/moe/router.h"

namespace switchyard {

/// [T, K] int64: the K most probable experts of each token, best first, ties to the lowest index.
/// Requires 1 <= K <= E. Probabilities of any float type, not negative.
at::Tensor best_experts(const at::Tensor& probabilities, int64_t k);

/// [T, 1] int64: one expert per token drawn with chances p^(1 / temperature) (the softmax at that
/// temperature), by the input's draw number first_token + t.
at::Tensor draw_experts(const RouterInput& input, double temperature);

/// A plan with `experts` [T, K] as choices (-1 at padding) and their probabilities as gates,
/// float32 or wider; kept and rows still to be filled by assign_places().
RoutingPlan plan_of_choices(const RouterInput& input, const at::Tensor& experts);

}  // namespace switchyard
