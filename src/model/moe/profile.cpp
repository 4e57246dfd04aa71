#include "model/moe/profile.h"

#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

RoutingRules paper_rules(const MoeConfig& config) {
  RoutingRules rules;
  rules.group_sequences = config.group_sequences;
  return rules;
}

// Mesh-TensorFlow. Its top-2 gating masks padding before the means, its Switch gating scales the
// group's loss afterwards.
RoutingRules mesh_rules(const MoeConfig& config) {
  RoutingRules rules = paper_rules(config);
  const bool top2 = config.router == "top2";
  rules.balance.padding_counts = !top2;
  rules.balance.divide_by_all = true;
  rules.balance.groups = top2 ? GroupWeight::kEqual : GroupWeight::kByRealShare;
  return rules;
}

// flaxformer and T5X, with ignore_padding_tokens off as in all their published configurations.
RoutingRules t5x_rules(const MoeConfig& config) {
  RoutingRules rules = paper_rules(config);
  rules.capacity = CapacityRule::kHalfEven;
  rules.route_padding = true;
  rules.renormalize_top2 = false;
  rules.balance = {true, true, GroupWeight::kEqual, /*all_choices=*/true, false};
  rules.layer_losses = LayerLosses::kMean;
  return rules;
}

// transformers 4.51 to 4.57.
RoutingRules hf_rules() {
  RoutingRules rules;
  rules.capacity = CapacityRule::kAbsolute;
  rules.group_sequences = 1;
  rules.route_padding = true;
  rules.round_probabilities = true;
  rules.balance = {true, true, GroupWeight::kEqual, false, /*dropped_as_first=*/true};
  rules.layer_losses = LayerLosses::kPooled;
  rules.losses_need_dense_block = true;
  return rules;
}

RoutingRules rules_of_profile(const MoeConfig& config) {
  if (config.profile == "paper") return paper_rules(config);
  if (config.profile == "mesh") return mesh_rules(config);
  if (config.profile == "t5x") return t5x_rules(config);
  if (config.profile == "hf") return hf_rules();
  throw usage_error(format("profile \"{}\" is not known", config.profile), "model.moe.profile",
                    "choose one of: paper, mesh, t5x, hf");
}

}  // namespace

RoutingRules routing_rules(const MoeConfig& config) {
  RoutingRules rules = rules_of_profile(config);
  if (config.capacity == "factor" && rules.capacity == CapacityRule::kAbsolute) {
    rules.capacity = CapacityRule::kFloor;
  }
  if (config.capacity == "absolute") rules.capacity = CapacityRule::kAbsolute;
  if (config.capacity == "dropless") rules.capacity = CapacityRule::kDropless;
  return rules;
}

}  // namespace switchyard
