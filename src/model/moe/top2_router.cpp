#include "model/moe/top2_router.h"

#include "model/moe/profile.h"
#include "model/moe/router_choices.h"

namespace switchyard {

Top2Router::Top2Router(const ModelConfig& config)
    : renormalize_(routing_rules(config.moe).renormalize_top2),
      threshold_(config.moe.second_threshold),
      places_{place_order(config.moe)} {
  const std::string& name = config.moe.second_choice;
  policy_ = name == "all"         ? Policy::kAll
            : name == "none"      ? Policy::kNone
            : name == "threshold" ? Policy::kThreshold
                                  : Policy::kRandom;
}

bool Top2Router::uses_second(float gate, const RouterInput& input, int64_t token) const {
  switch (policy_) {
    case Policy::kAll:
      return true;
    case Policy::kNone:
      return false;
    case Policy::kThreshold:
      return gate > threshold_;
    case Policy::kRandom:
      break;
  }
  return input.draws.uniform(static_cast<uint64_t>(input.first_token + token)) * threshold_ < gate;
}

RoutingPlan Top2Router::route(const RouterInput& input) const {
  RoutingPlan plan = plan_of_choices(input, best_experts(input.probabilities, 2));
  // 1e-9 as in Mesh-TensorFlow; two best probabilities of a softmax are never that small.
  if (renormalize_) plan.gate = plan.gate / (plan.gate.sum(1, /*keepdim=*/true) + 1e-9);
  const at::Tensor gate = plan.gate.detach().to(at::kFloat).contiguous();
  const float* g = gate.const_data_ptr<float>();
  int64_t* expert = plan.expert.mutable_data_ptr<int64_t>();
  for (int64_t t = 0; t < plan.num_tokens; ++t) {
    if (!uses_second(g[2 * t + 1], input, t)) expert[2 * t + 1] = -1;
  }
  assign_places(plan, input, places_);
  return plan;
}

}  // namespace switchyard
