// Two experts per token (GShard; the paper's MoE baseline). Gates are the two
// probabilities, scaled to sum to 1 unless the profile says otherwise; first choices of all tokens
// are placed before any second one. The second expert is used by `second_choice`:
//   all        always            none  never
//   threshold  gate > threshold  random  with chance gate / threshold, in training and evaluation
#pragma once

#include "model/moe/router.h"

namespace switchyard {

class Top2Router : public Router {
 public:
  explicit Top2Router(const ModelConfig& config);
  RoutingPlan route(const RouterInput& input) const override;

 private:
  enum class Policy { kAll, kNone, kThreshold, kRandom };
  bool uses_second(float gate, const RouterInput& input, int64_t token) const;

  bool renormalize_;
  Policy policy_;
  double threshold_;
  PlaceOptions places_;
};

}  // namespace switchyard
