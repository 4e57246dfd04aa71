#include "model/moe/switch_max_router.h"

#include "model/moe/router_choices.h"

namespace switchyard {

SwitchMaxRouter::SwitchMaxRouter(const ModelConfig& config)
    : sample_(config.moe.exploration == "sample"), temperature_(config.moe.sample_temperature) {}

RoutingPlan SwitchMaxRouter::route(const RouterInput& input) const {
  const at::Tensor experts = sample_ && input.training ? draw_experts(input, temperature_)
                                                       : best_experts(input.probabilities, 1);
  RoutingPlan plan = plan_of_choices(input, experts);
  assign_places(plan, input, {PlaceOrder::kByProbability});
  return plan;
}

}  // namespace switchyard
