#include "model/moe/router_choices.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace switchyard {
namespace {

/// Index of the largest of `row` that is not among the `count` first of `taken`.
template <class T>
int64_t best_but(const T* row, int64_t size, const int64_t* taken, int64_t count) {
  int64_t best = -1;
  if (count == 0) {  // the common case, without a search per element
    best = 0;
    for (int64_t e = 1; e < size; ++e) {
      if (row[e] > row[best]) best = e;
    }
    return best;
  }
  for (int64_t e = 0; e < size; ++e) {
    if (std::find(taken, taken + count, e) != taken + count) continue;
    if (best < 0 || row[e] > row[best]) best = e;
  }
  return best;
}

}  // namespace

at::Tensor best_experts(const at::Tensor& probabilities, int64_t k) {
  const at::Tensor source = probabilities.detach().contiguous();
  const int64_t tokens = source.size(0), experts = source.size(1);
  const at::Tensor best = at::empty({tokens, k}, at::kLong);
  int64_t* out = best.mutable_data_ptr<int64_t>();
  // An own argmax: LibTorch does not promise the lowest index among equals.
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, source.scalar_type(), "best_experts", [&] {
    const scalar_t* p = source.const_data_ptr<scalar_t>();
    at::parallel_for(0, tokens, 512, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        for (int64_t j = 0; j < k; ++j)
          out[t * k + j] = best_but(p + t * experts, experts, out + t * k, j);
      }
    });
  });
  return best;
}

at::Tensor draw_experts(const RouterInput& input, double temperature) {
  const at::Tensor source = input.probabilities.detach().to(at::kDouble).contiguous();
  const int64_t tokens = source.size(0), experts = source.size(1);
  const double* p = source.const_data_ptr<double>();
  const at::Tensor drawn = at::empty({tokens, 1}, at::kLong);
  int64_t* out = drawn.mutable_data_ptr<int64_t>();
  at::parallel_for(0, tokens, 128, [&](int64_t begin, int64_t end) {
    std::vector<double> chance(static_cast<size_t>(experts));
    for (int64_t t = begin; t < end; ++t) {
      const double* row = p + t * experts;
      const double largest = *std::max_element(row, row + experts);
      double sum = 0;
      for (int64_t e = 0; e < experts; ++e) {
        sum += chance[static_cast<size_t>(e)] = std::pow(row[e] / largest, 1.0 / temperature);
      }
      double left = input.draws.uniform(static_cast<uint64_t>(input.first_token + t)) * sum;
      int64_t e = 0;
      while (e + 1 < experts && left >= chance[static_cast<size_t>(e)]) {
        left -= chance[static_cast<size_t>(e++)];
      }
      out[t] = e;
    }
  });
  return drawn;
}

RoutingPlan plan_of_choices(const RouterInput& input, const at::Tensor& experts) {
  RoutingPlan plan;
  plan.num_tokens = experts.size(0);
  plan.num_choices = experts.size(1);
  plan.num_experts = input.probabilities.size(1);
  // The gate is float32 whatever the router's type.
  const at::Tensor gate = input.probabilities.gather(1, experts);
  plan.gate = gate.scalar_type() == at::kBFloat16 ? gate.to(at::kFloat) : gate;
  // A copy: routers write -1 into it, and the gate's backward reads `experts`.
  plan.expert = input.valid.defined()
                    ? experts.masked_fill(input.valid.logical_not().unsqueeze(1), -1)
                    : experts.clone();
  return plan;
}

}  // namespace switchyard
