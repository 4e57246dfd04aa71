// Experts choose tokens (Zhou et al. 2022): in each group every expert takes the C
// tokens that give it the largest probability, ties to the earlier token; the gate is that entry of
// the softmax over experts, and a token gets the sum over the experts that took it, from none to
// all of them. The load is even by construction. What a token gets depends on later ones: encoder
// only.
#pragma once

#include "model/moe/router.h"

namespace switchyard {

class ExpertChoiceRouter : public Router {
 public:
  explicit ExpertChoiceRouter(const ModelConfig& config);
  /// K = E. Choices are the experts that took the token, the most probable first, then -1; of a
  /// token that none took, choice 0 is its most probable expert, not kept.
  RoutingPlan route(const RouterInput& input) const override;
};

}  // namespace switchyard
