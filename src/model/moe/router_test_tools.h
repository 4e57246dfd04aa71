// Shared by the router tests.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <vector>

#include "model/moe/router.h"

namespace switchyard::testing {

inline at::Tensor matrix(std::initializer_list<double> values, int64_t columns) {
  return at::tensor(std::vector<double>(values), at::kFloat).view({-1, columns});
}

/// Probabilities in groups of `group_tokens` with `capacity` places per expert.
inline RouterInput groups_of(const at::Tensor& probabilities, int64_t group_tokens,
                             int64_t capacity) {
  RouterInput input;
  input.probabilities = probabilities;
  for (int64_t end = group_tokens; end <= probabilities.size(0); end += group_tokens) {
    input.group_ends.push_back(end);
    input.capacity.push_back(capacity);
  }
  return input;
}

/// The same from logits.
inline RouterInput groups(const at::Tensor& logits, int64_t group_tokens, int64_t capacity) {
  return groups_of(at::softmax(logits, -1), group_tokens, capacity);
}

inline std::vector<int64_t> to_vector(const at::Tensor& t) {
  const at::Tensor c = t.contiguous().view(-1);
  return {c.const_data_ptr<int64_t>(), c.const_data_ptr<int64_t>() + c.numel()};
}

/// (token, expert, slot) of every row, sorted by token, then expert.
inline std::vector<std::array<int64_t, 3>> kept_slots(const RoutingPlan& plan) {
  std::vector<std::array<int64_t, 3>> found;
  const auto pairs = to_vector(plan.row_choice);
  for (int64_t e = 0; e < plan.num_experts; ++e) {
    const int64_t begin = plan.offsets[static_cast<size_t>(e)];
    for (int64_t row = begin; row < plan.offsets[static_cast<size_t>(e) + 1]; ++row) {
      found.push_back({pairs[static_cast<size_t>(row)] / plan.num_choices, e, row - begin});
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// [T, E] gates of the kept pairs, 0 elsewhere.
inline at::Tensor combine_weights(const RoutingPlan& plan) {
  at::Tensor weights = at::zeros({plan.num_tokens, plan.num_experts}, plan.gate.options());
  for (const int64_t pair : to_vector(plan.row_choice)) {
    const int64_t t = pair / plan.num_choices, k = pair % plan.num_choices;
    weights[t][plan.expert[t][k].item<int64_t>()] += plan.gate[t][k].detach();
  }
  return weights;
}

}  // namespace switchyard::testing
