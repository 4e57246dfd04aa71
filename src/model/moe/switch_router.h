// The Switch router (paper section 2.1): each token goes to its most probable expert; the gate is
// that probability, a softmax over ALL experts, never renormalized. Ties go to the lowest index.
#pragma once

#include "model/moe/router.h"

namespace switchyard {

class SwitchRouter : public Router {
 public:
  explicit SwitchRouter(const ModelConfig& config);
  RoutingPlan route(const RouterInput& input) const override;

 private:
  bool sample_;  // training draws the expert (paper appendix C) instead of taking the best
  double temperature_;
  PlaceOptions places_;
};

}  // namespace switchyard
