#include "model/moe/switch_router.h"

#include "model/moe/router_choices.h"

namespace switchyard {

SwitchRouter::SwitchRouter(const ModelConfig& config)
    : sample_(config.moe.exploration == "sample"),
      temperature_(config.moe.sample_temperature),
      places_{place_order(config.moe)} {}

RoutingPlan SwitchRouter::route(const RouterInput& input) const {
  const at::Tensor experts = sample_ && input.training ? draw_experts(input, temperature_)
                                                       : best_experts(input.probabilities, 1);
  RoutingPlan plan = plan_of_choices(input, experts);
  assign_places(plan, input, places_);
  return plan;
}

}  // namespace switchyard
