#include "model/moe/gates.h"

namespace switchyard {

void weigh_gates(RoutingPlan& plan, const std::string& gate) {
  if (gate == "probability") return;
  at::Tensor sum = (plan.gate * plan.kept).sum(1, /*keepdim=*/true);
  if (gate == "straight_through") sum = sum.detach();
  // Tokens without any place: their gates are not used, and must not become infinite.
  plan.gate = plan.gate / sum.masked_fill(sum.detach().le(0), 1.0);
}

}  // namespace switchyard
