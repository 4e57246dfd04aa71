#include "model/moe/router_losses.h"

namespace switchyard {

at::Tensor balance_loss(const at::Tensor& probabilities, const at::Tensor& expert,
                        const std::vector<int64_t>& group_ends) {
  const int64_t num_experts = probabilities.size(1);
  // A uniform router must give exactly 1, so that alpha is seen unrounded: sums of float32 counts
  // and of many equal probabilities are exact only in float64.
  const at::Tensor factor = at::zeros({expert.size(0), num_experts}, at::kDouble);
  double* out = factor.mutable_data_ptr<double>();
  const int64_t* choice = expert.const_data_ptr<int64_t>();
  double total = 0;
  for (int64_t t = 0; t < expert.size(0); ++t) total += choice[t] >= 0 ? 1 : 0;
  if (total == 0) return probabilities.sum() * 0;
  int64_t begin = 0;
  std::vector<double> count(static_cast<size_t>(num_experts));
  for (const int64_t end : group_ends) {
    std::fill(count.begin(), count.end(), 0.0);
    double real = 0;
    for (int64_t t = begin; t < end; ++t) {
      if (choice[t] < 0) continue;
      count[static_cast<size_t>(choice[t])] += 1;
      real += 1;
    }
    // d loss / d p(t, e) = E * f_e / real * (real / total)
    for (int64_t t = begin; t < end; ++t) {
      if (choice[t] < 0) continue;
      for (int64_t e = 0; e < num_experts; ++e) {
        out[t * num_experts + e] =
            static_cast<double>(num_experts) * count[static_cast<size_t>(e)] / real / total;
      }
    }
    begin = end;
  }
  return (probabilities.to(at::kDouble) * factor).sum().to(
      probabilities.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
}

at::Tensor router_z_loss(const at::Tensor& logits, const at::Tensor& valid) {
  const at::Tensor squared = at::logsumexp(logits, {-1}).square();
  if (!valid.defined()) return squared.mean();
  const at::Tensor weight = valid.to(squared.scalar_type());
  return (squared * weight).sum() / weight.sum().clamp_min(1);
}

}  // namespace switchyard
