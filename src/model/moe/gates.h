// What an expert's output is multiplied by (model.moe.gate, docs/routers.md).
#pragma once

#include <string>

#include "ops/routing_plan.h"

namespace switchyard {

/// Changes plan.gate as `gate` says, one of the values of MoeConfig::gate:
///   probability: not at all;
///   normalized: over the sum of the token's gates that have a place, so that these sum to 1;
///   straight_through: the same values, with the gradient that the gates have if the sum is held.
/// With one expert a token, a normalized gate is 1 and has no gradient.
void weigh_gates(RoutingPlan& plan, const std::string& gate);

}  // namespace switchyard
