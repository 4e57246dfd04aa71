// The router losses of a whole model: those of its routed layers, combined by the profile's rule.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "model/moe/router_losses.h"

namespace switchyard {

/// Losses of one routed layer, before their factors.
struct LayerRouterLosses {
  at::Tensor balance;   // scalar, differentiable
  BalanceTerms terms;   // its halves; undefined for a router without balance loss
  at::Tensor router_z;  // scalar, differentiable; undefined if its factor is 0
};

struct StackRouterLosses {
  std::vector<LayerRouterLosses> layers;
  bool has_dense_block = false;  // some block of the stack is not routed
};

struct RouterLossTotal {
  at::Tensor loss;  // scalar, differentiable, with both factors; undefined if no layer has a loss
  double balance = 0, router_z = 0;  // the parts of `loss`
};

RouterLossTotal total_router_losses(const MoeConfig& config,
                                    const std::vector<StackRouterLosses>& stacks);

}  // namespace switchyard
