#include "model/moe/expert_choice_router.h"

#include <algorithm>

#include "model/moe/router_choices.h"

namespace switchyard {
namespace {

/// Sets taken[t, e] for the `capacity` tokens of `tokens` that e prefers.
void take(std::vector<int64_t>& tokens, int64_t capacity, int64_t e, const at::Tensor& probability,
          at::Tensor& taken) {
  const auto p = probability.accessor<double, 2>();
  auto mark = taken.accessor<bool, 2>();
  const auto count = std::min(static_cast<size_t>(capacity), tokens.size());
  const auto preferred = [&](int64_t a, int64_t b) {
    return p[a][e] != p[b][e] ? p[a][e] > p[b][e] : a < b;
  };
  std::partial_sort(tokens.begin(), tokens.begin() + static_cast<int64_t>(count), tokens.end(),
                    preferred);
  for (size_t i = 0; i < count; ++i) mark[tokens[i]][e] = true;
}

at::Tensor taken_tokens(const RouterInput& input) {
  const at::Tensor probability = input.probabilities.detach().to(at::kDouble).contiguous();
  at::Tensor taken = at::zeros(probability.sizes(), at::kBool);
  const bool* valid = input.valid.defined() ? input.valid.const_data_ptr<bool>() : nullptr;
  int64_t begin = 0;
  for (size_t g = 0; g < input.group_ends.size(); ++g) {
    std::vector<int64_t> tokens;
    for (int64_t t = begin; t < input.group_ends[g]; ++t) {
      if (!valid || valid[t]) tokens.push_back(t);
    }
    for (int64_t e = 0; e < probability.size(1); ++e) {
      take(tokens, input.capacity[g], e, probability, taken);
    }
    begin = input.group_ends[g];
  }
  return taken;
}

}  // namespace

ExpertChoiceRouter::ExpertChoiceRouter(const ModelConfig& /*config*/) {}

RoutingPlan ExpertChoiceRouter::route(const RouterInput& input) const {
  const int64_t experts = input.probabilities.size(1);
  const at::Tensor taken = taken_tokens(input);
  const at::Tensor by_probability = best_experts(input.probabilities, experts);
  // Per token: its experts by probability, those that took it moved to the front.
  const at::Tensor took = taken.gather(1, by_probability);
  const at::Tensor front = at::argsort(took.logical_not().to(at::kByte), /*stable=*/true, 1, false);
  RoutingPlan plan = plan_of_choices(input, by_probability.gather(1, front));
  plan.kept = took.gather(1, front).contiguous();
  at::Tensor absent = plan.kept.logical_not();
  absent.select(1, 0).zero_();
  plan.expert = plan.expert.masked_fill(absent, -1);
  lay_out_rows(plan, input.group_ends);
  return plan;
}

}  // namespace switchyard
