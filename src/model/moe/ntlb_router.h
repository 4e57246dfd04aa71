// No token left behind (paper appendix B): stage 1 is the Switch router; at stage j tokens without
// a place try their j-th most probable expert, with its probability as gate, while places are left.
#pragma once

#include "model/moe/router.h"

namespace switchyard {

class NtlbRouter : public Router {
 public:
  explicit NtlbRouter(const ModelConfig& config);
  RoutingPlan route(const RouterInput& input) const override;

 private:
  int64_t stages_;
  PlaceOptions places_;
};

}  // namespace switchyard
