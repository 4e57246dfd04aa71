// The seam where routers plug in (docs/architecture.md, "How to add a router"). A router turns the
// router's probabilities into a RoutingPlan; jitter, the linear map, softmax and losses are common
// to all and live in MoeLayer. T: tokens of this forward pass, E: experts, K: choices per token.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "model/config.h"
#include "ops/routing_plan.h"

namespace switchyard {

struct RouterInput {
  at::Tensor probabilities;  // [T, E] float32 (the router's type under "bf16"), differentiable
  at::Tensor valid;          // [T] bool, undefined if all tokens are real
  // Routing groups are consecutive slices of the T tokens: tokens of group g end at group_ends[g].
  std::vector<int64_t> group_ends;
  std::vector<int64_t> capacity;  // per group, places in each expert
  bool training = false;
};

/// Pure: no state changes in route(); thread-safe.
class Router {
 public:
  virtual ~Router() = default;
  virtual RoutingPlan route(const RouterInput& input) const = 0;
};

/// The router named by config.router. Throws Error(kUsage) for an unknown name.
std::unique_ptr<Router> make_router(const MoeConfig& config);

/// Places in each expert for a group: max(min_capacity, floor(group_tokens * factor / E)), at most
/// group_tokens (paper equation 3; research note 1.3).
int64_t expert_capacity(const MoeConfig& config, int64_t group_tokens, bool training);

/// Who gets an expert's places when more want them than there are.
enum class PlaceOrder {
  kChoiceMajor,    // earlier tokens; first choices of all tokens before second ones (GShard)
  kTokenMajor,     // earlier tokens, all their choices together
  kByProbability,  // the largest gates, ties to the earlier token
};

/// Fills plan.kept, row_choice and offsets from plan.expert (and plan.gate for kByProbability): an
/// expert takes at most `capacity` of a group. Rows of an expert come by group, then in the order
/// above (kByProbability: by token). Linear time but for the sort by probability.
void assign_places(RoutingPlan& plan, const RouterInput& input,
                   PlaceOrder order = PlaceOrder::kChoiceMajor);

}  // namespace switchyard
