#include "model/moe/switch_router.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

namespace switchyard {

RoutingPlan SwitchRouter::route(const RouterInput& input) const {
  const at::Tensor probabilities = input.probabilities.detach().contiguous();
  RoutingPlan plan;
  plan.num_tokens = probabilities.size(0);
  plan.num_experts = probabilities.size(1);
  plan.num_choices = 1;
  const at::Tensor best = at::empty({plan.num_tokens, 1}, at::kLong);
  int64_t* out = best.mutable_data_ptr<int64_t>();
  // An own argmax: LibTorch does not promise the lowest index among equals.
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, probabilities.scalar_type(), "switch_router", [&] {
    const scalar_t* p = probabilities.const_data_ptr<scalar_t>();
    at::parallel_for(0, plan.num_tokens, 512, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const scalar_t* row = p + t * plan.num_experts;
        int64_t index = 0;
        for (int64_t e = 1; e < plan.num_experts; ++e) {
          if (row[e] > row[index]) index = e;
        }
        out[t] = index;
      }
    });
  });
  // The gate is float32 whatever the router's type.
  const at::Tensor gate = input.probabilities.gather(1, best);
  plan.gate = gate.scalar_type() == at::kBFloat16 ? gate.to(at::kFloat) : gate;
  plan.expert = input.valid.defined() ? best.masked_fill(input.valid.logical_not().unsqueeze(1), -1)
                                      : best;
  assign_places(plan, input);
  return plan;
}

}  // namespace switchyard
