// Where tokens went in the routed layers, for those who ask.
#pragma once

#include <cstdint>
#include <vector>

#include "infer/engine/expert_choice.h"

namespace switchyard {

/// A choice of a router for one token. `layer`: index in InferenceModel::expert_use().
struct TokenRoute {
  int32_t layer;
  int32_t position;  // of the token: in the input, or among the ids that the decoder has read
  int32_t expert;
  float gate;
  bool dropped;  // the expert had no place: only the residual stream carries the token on
};

/// Of one input and its output. Layer by layer for the input, then step by step for the output; a
/// token with two choices has two routes in a layer. Padding has none.
using RoutingTrace = std::vector<TokenRoute>;

/// The same within a pass, where tokens are rows.
struct TracedChoice {
  int32_t layer;
  Choice choice;
  bool dropped;
};

}  // namespace switchyard
