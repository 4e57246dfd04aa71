#include "model/moe/ntlb_router.h"

#include <algorithm>

#include "model/moe/router_choices.h"

namespace switchyard {

NtlbRouter::NtlbRouter(const ModelConfig& config)
    : stages_(std::min(config.moe.ntlb_top_k, config.moe.num_experts)),
      places_{place_order(config.moe), /*one_per_token=*/true} {}

RoutingPlan NtlbRouter::route(const RouterInput& input) const {
  RoutingPlan plan = plan_of_choices(input, best_experts(input.probabilities, stages_));
  assign_places(plan, input, places_);
  return plan;
}

}  // namespace switchyard
