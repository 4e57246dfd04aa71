#include "model/moe/router_losses.h"

#include <algorithm>

namespace switchyard {

namespace {

/// [G, E] float64: factor of each group's sum of probabilities in the loss,
///   E * f_e / real_g * (real_g / total) with f_e = count_e / real_g.
at::Tensor group_factors(const at::Tensor& expert, int64_t num_experts,
                         const std::vector<int64_t>& group_ends) {
  const auto groups = static_cast<int64_t>(group_ends.size());
  const at::Tensor factors = at::zeros({groups, num_experts}, at::kDouble);
  double* out = factors.mutable_data_ptr<double>();
  const int64_t* choice = expert.const_data_ptr<int64_t>();
  std::vector<double> real(static_cast<size_t>(groups), 0.0);
  double total = 0;
  int64_t t = 0;
  for (int64_t g = 0; g < groups; ++g) {
    for (; t < group_ends[static_cast<size_t>(g)]; ++t) {
      if (choice[t] < 0) continue;
      out[g * num_experts + choice[t]] += 1;
      real[static_cast<size_t>(g)] += 1;
    }
    total += real[static_cast<size_t>(g)];
  }
  for (int64_t g = 0; g < groups; ++g) {
    const double scale = static_cast<double>(num_experts) /
                         std::max(real[static_cast<size_t>(g)], 1.0) / std::max(total, 1.0);
    for (int64_t e = 0; e < num_experts; ++e) out[g * num_experts + e] *= scale;
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

at::Tensor balance_loss(const at::Tensor& probabilities, const at::Tensor& expert,
                        const std::vector<int64_t>& group_ends) {
  const at::Tensor factors = group_factors(expert, probabilities.size(1), group_ends);
  at::Tensor real_rows = probabilities;
  if (expert.lt(0).any().item<bool>()) {
    real_rows = probabilities.masked_fill(expert.lt(0).unsqueeze(1), 0.0);
  }
  const at::ScalarType type =
      probabilities.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return (group_sums(real_rows, group_ends) * factors).sum().to(type);
}

at::Tensor router_z_loss(const at::Tensor& logits, const at::Tensor& valid) {
  const at::Tensor squared = at::logsumexp(logits, {-1}).square();
  if (!valid.defined()) return squared.mean();
  const at::Tensor weight = valid.to(squared.scalar_type());
  return (squared * weight).sum() / weight.sum().clamp_min(1);
}

}  // namespace switchyard
