// RoutingPlan: which token goes to which expert, the value that a router makes and that dispatch,
// experts and combine use. A pure value: the same for one rank and for many.
// T: tokens, K: choices per token (1 for Switch), E: experts, R: kept (token, choice) pairs.
#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace switchyard {

struct RoutingPlan {
  int64_t num_tokens = 0;   // T
  int64_t num_choices = 1;  // K
  int64_t num_experts = 0;  // E
  at::Tensor expert;        // [T, K] int64; -1 where the token is padding or has no such choice
  at::Tensor gate;          // [T, K] float32, differentiable
  at::Tensor kept;          // [T, K] bool: got a place in its expert's capacity
  // Kept pairs sorted by expert, within an expert by routing group and priority.
  at::Tensor row_choice;         // [R] int64, t * K + k
  std::vector<int64_t> offsets;  // [E + 1], rows of expert e are offsets[e] .. offsets[e + 1]
  int64_t num_rows() const { return offsets.empty() ? 0 : offsets.back(); }
};

}  // namespace switchyard
