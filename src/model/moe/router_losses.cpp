#include "model/moe/router_losses.h"

#include <algorithm>

#include "model/moe/router_choices.h"

namespace switchyard {

namespace {

/// Tokens of each group that are not padding.
std::vector<double> real_tokens(const at::Tensor& valid, const std::vector<int64_t>& group_ends) {
  const bool* real = valid.defined() ? valid.const_data_ptr<bool>() : nullptr;
  std::vector<double> counts;
  int64_t begin = 0;
  for (const int64_t end : group_ends) {
    counts.push_back(
        static_cast<double>(real ? std::count(real + begin, real + end, true) : end - begin));
    begin = end;
  }
  return counts;
}

/// Weight of group g's loss among all groups.
double group_weight(const BalanceRule& rule, double real, double size, double all_real,
                    double groups) {
  if (rule.groups == GroupWeight::kByRealTokens) return real / std::max(all_real, 1.0);
  return (rule.groups == GroupWeight::kByRealShare ? real / size : 1.0) / groups;
}

/// [G, E] float64: factor of each group's sum of probabilities in the loss,
///   weight_g * E * f_e / n with f_e = count_e / n, n the real tokens or all positions.
at::Tensor group_factors(const at::Tensor& choices, int64_t num_experts, const at::Tensor& valid,
                         const std::vector<int64_t>& group_ends, const BalanceRule& rule) {
  const auto groups = static_cast<int64_t>(group_ends.size());
  const at::Tensor factors = at::zeros({groups, num_experts}, at::kDouble);
  double* out = factors.mutable_data_ptr<double>();
  const at::Tensor flat = choices.contiguous();
  const int64_t* choice = flat.const_data_ptr<int64_t>();
  const int64_t per_token = choices.size(1);
  const std::vector<double> real = real_tokens(valid, group_ends);
  double all_real = 0;
  for (const double count : real) all_real += count;
  int64_t begin = 0;
  for (int64_t g = 0; g < groups; ++g, out += num_experts) {
    const int64_t end = group_ends[static_cast<size_t>(g)];
    const auto size = static_cast<double>(end - begin);
    const double own_real = real[static_cast<size_t>(g)];
    for (int64_t i = begin * per_token; i < end * per_token; ++i) {
      if (choice[i] >= 0) out[choice[i]] += 1;
    }
    const double n = std::max(rule.divide_by_all ? size : own_real, 1.0);
    const double scale = static_cast<double>(num_experts) / n / n *
                         group_weight(rule, own_real, size, all_real, static_cast<double>(groups));
    for (int64_t e = 0; e < num_experts; ++e) out[e] *= scale;
    begin = end;
  }
  return factors;
}

/// [G, E] float64 sums of the rows of each group. Float64, because a uniform router must give
/// exactly 1 whatever E and T.
at::Tensor group_sums(const at::Tensor& rows, const std::vector<int64_t>& group_ends) {
  const auto groups = static_cast<int64_t>(group_ends.size());
  const int64_t size = group_ends.front();
  bool equal = true;
  for (int64_t g = 0; g < groups; ++g) {
    equal = equal && group_ends[static_cast<size_t>(g)] == (g + 1) * size;
  }
  if (equal) return at::sum(rows.view({groups, size, -1}), {1}, false, at::kDouble);
  std::vector<at::Tensor> sums;
  int64_t begin = 0;
  for (const int64_t end : group_ends) {
    sums.push_back(at::sum(rows.narrow(0, begin, end - begin), {0}, false, at::kDouble));
    begin = end;
  }
  return at::stack(sums);
}

}  // namespace

BalanceTerms balance_terms(const at::Tensor& probabilities, const at::Tensor& choices,
                           const at::Tensor& valid, const std::vector<int64_t>& group_ends,
                           const BalanceRule& rule) {
  at::Tensor counted = probabilities;
  if (valid.defined() && !rule.padding_counts) {
    counted = probabilities.masked_fill(valid.logical_not().unsqueeze(1), 0.0);
  }
  return {group_factors(choices, probabilities.size(1), valid, group_ends, rule),
          group_sums(counted, group_ends)};
}

at::Tensor counted_choices(const RoutingPlan& plan, const at::Tensor& probabilities,
                           const BalanceRule& rule) {
  at::Tensor choices = rule.all_choices ? plan.expert : plan.expert.narrow(1, 0, 1);
  if (rule.padding_counts) {  // padding that was not routed
    const at::Tensor padding = plan.expert.narrow(1, 0, 1).lt(0);
    choices = at::where(padding, best_experts(probabilities, choices.size(1)), choices);
  }
  if (rule.dropped_as_first) {
    choices = at::where(plan.kept.any(1, /*keepdim=*/true), choices, at::zeros_like(choices));
  }
  return choices;
}

at::Tensor balance_loss(const BalanceTerms& terms, at::ScalarType type) {
  return (terms.sums * terms.factors).sum().to(type);
}

at::Tensor balance_loss(const at::Tensor& probabilities, const at::Tensor& expert,
                        const std::vector<int64_t>& group_ends) {
  const at::ScalarType type = probabilities.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return balance_loss(
      balance_terms(probabilities, expert.unsqueeze(1), expert.ge(0), group_ends, {}), type);
}

at::Tensor router_z_loss(const at::Tensor& logits, const at::Tensor& valid) {
  const at::Tensor squared = at::logsumexp(logits, {-1}).square();
  if (!valid.defined()) return squared.mean();
  const at::Tensor weight = valid.to(squared.scalar_type());
  return (squared * weight).sum() / weight.sum().clamp_min(1);
}

}  // namespace switchyard
