// The Switch router (paper section 2.1): each token goes to its most probable expert; the gate is
// that probability, a softmax over ALL experts, never renormalized. Ties go to the lowest index.
#pragma once

#include "model/moe/router.h"

namespace switchyard {

class SwitchRouter : public Router {
 public:
  RoutingPlan route(const RouterInput& input) const override;
};

}  // namespace switchyard
