// Hash layers (Roller et al. 2021): the expert is a fixed function of the token
// id, the same in every layer and run; the gate is 1; nothing is learned, so there are no router
// losses.
//   balanced  ids are shuffled by a fixed permutation of the vocabulary, then dealt out in turn:
//             experts own equally many ids (to one)
//   plain     a 64-bit hash of the id, modulo E
#pragma once

#include "model/moe/router.h"

namespace switchyard {

class HashRouter : public Router {
 public:
  explicit HashRouter(const ModelConfig& config);
  /// Needs input.ids; balanced: ids below the vocabulary size.
  RoutingPlan route(const RouterInput& input) const override;
  int64_t expert_of(int64_t id) const;

 private:
  int64_t num_experts_;
  uint64_t vocabulary_;
  bool balanced_;
};

}  // namespace switchyard
