// Switch with places by probability (Mesh-TensorFlow's switch_max): each token asks for its most
// probable expert, and an expert keeps the tokens of its group with the largest gates instead of
// the earliest. A later token can take an earlier one's place, so it is meant for encoders.
#pragma once

#include "model/moe/router.h"

namespace switchyard {

class SwitchMaxRouter : public Router {
 public:
  explicit SwitchMaxRouter(const ModelConfig& config);
  RoutingPlan route(const RouterInput& input) const override;

 private:
  bool sample_;
  double temperature_;
};

}  // namespace switchyard
