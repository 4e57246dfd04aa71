// The seam where routers plug in (docs/routers.md, "How to add a router"). A router turns the
// router's probabilities into a RoutingPlan; exploration of the input, the linear map, softmax and
// losses are common to all and live in MoeLayer. T: tokens of this forward pass, E: experts, K:
// choices per token.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "model/config.h"
#include "ops/routing_plan.h"

namespace switchyard {

struct RouterInput {
  // [T, E] float32 (the router's type under "bf16"), differentiable; undefined for a router that
  // does not learn.
  at::Tensor probabilities;
  at::Tensor valid;  // [T] bool, undefined if all tokens are real
  at::Tensor ids;    // [T] int64 token ids; undefined unless the router asks for them
  // Routing groups are consecutive slices of the T tokens: tokens of group g end at group_ends[g].
  std::vector<int64_t> group_ends;
  std::vector<int64_t> capacity;  // per group, places in each expert
  bool training = false;
  // Draws of a router that explores or chooses at random: number first_token + t for token t.
  RandomStream draws{0, kRandomExplore};
  int64_t first_token = 0;  // index of token 0 in the global batch
};

/// Pure: no state changes in route(); thread-safe.
class Router {
 public:
  virtual ~Router() = default;
  virtual RoutingPlan route(const RouterInput& input) const = 0;
};

/// What the rest of the program has to know of a router. One entry per router, in router_kinds().
struct RouterKind {
  std::string name;  // config.router
  std::unique_ptr<Router> (*make)(const ModelConfig& config);
  bool learned = true;        // has a classifier, so probabilities and router losses
  bool balanced = true;       // the balance loss applies; else its load is even by construction
  bool causal = true;         // a token's places do not depend on later tokens of its sequence
  bool draws_expert = false;  // exploration = "sample" is possible
  bool prioritized = true;    // batch_prioritized is possible
};

/// All routers, the default one first.
const std::vector<RouterKind>& router_kinds();
/// The entry of config.router. Throws Error(kUsage) for an unknown name.
const RouterKind& router_kind(const MoeConfig& config);

/// Places in each expert for a group, by the profile's rule (model/moe/profile.h), at most
/// group_tokens. The paper's: max(min_capacity, floor(group_tokens * factor / E)) (equation 3).
int64_t expert_capacity(const MoeConfig& config, int64_t group_tokens, bool training);

/// Who gets an expert's places when more want them than there are.
enum class PlaceOrder {
  kChoiceMajor,       // earlier tokens; first choices of all tokens before second ones (GShard)
  kTokenMajor,        // earlier tokens, all their choices together
  kByProbability,     // the largest gates, ties to the earlier token
  kBatchPrioritized,  // as kChoiceMajor with the tokens of largest best probability first (V-MoE)
};

/// kBatchPrioritized if config.batch_prioritized, else kChoiceMajor.
PlaceOrder place_order(const MoeConfig& config);

struct PlaceOptions {
  PlaceOrder order = PlaceOrder::kChoiceMajor;
  bool one_per_token = false;  // a token that has a place asks for no other
};

/// Fills plan.kept, row_choice and offsets from plan.expert (and plan.gate for kByProbability, the
/// input's probabilities for kBatchPrioritized): an expert takes at most `capacity` of a group.
/// Rows of an expert come by group, then by choice and token (kTokenMajor, kByProbability: by
/// token). Linear time but for sorting by probability.
void assign_places(RoutingPlan& plan, const RouterInput& input, PlaceOptions options = {});

/// Fills plan.row_choice and offsets from plan.kept, rows as by kTokenMajor.
void lay_out_rows(RoutingPlan& plan, const std::vector<int64_t>& group_ends);

}  // namespace switchyard
