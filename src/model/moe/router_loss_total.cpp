#include "model/moe/router_loss_total.h"

namespace switchyard {
namespace {

/// The means over layers of f and P are multiplied; z is a mean over tokens of equally many layers.
LayerRouterLosses pooled(const std::vector<LayerRouterLosses>& layers) {
  const auto count = static_cast<double>(layers.size());
  LayerRouterLosses mean = layers.front();
  for (size_t i = 1; i < layers.size(); ++i) {
    mean.terms.factors = mean.terms.factors + layers[i].terms.factors;
    mean.terms.sums = mean.terms.sums + layers[i].terms.sums;
    if (mean.router_z.defined()) mean.router_z = mean.router_z + layers[i].router_z;
  }
  mean.terms.factors = mean.terms.factors / count;
  mean.terms.sums = mean.terms.sums / count;
  mean.balance = balance_loss(mean.terms, mean.balance.scalar_type());
  if (mean.router_z.defined()) mean.router_z = mean.router_z / count;
  return mean;
}

void add(RouterLossTotal& total, at::Tensor& stack, const LayerRouterLosses& layer,
         const MoeConfig& config, double scale) {
  at::Tensor loss = layer.balance * (config.balance_loss * scale);
  total.balance += config.balance_loss * scale * layer.balance.item<double>();
  if (layer.router_z.defined()) {
    loss = loss + layer.router_z * (config.z_loss * scale);
    total.router_z += config.z_loss * scale * layer.router_z.item<double>();
  }
  stack = stack.defined() ? stack + loss : loss;
}

}  // namespace

RouterLossTotal total_router_losses(const MoeConfig& config,
                                    const std::vector<StackRouterLosses>& stacks) {
  const RoutingRules rules = routing_rules(config);
  size_t layers = 0;
  for (const StackRouterLosses& stack : stacks) layers += stack.layers.size();
  const double scale =
      rules.layer_losses == LayerLosses::kMean ? 1.0 / static_cast<double>(layers) : 1.0;
  RouterLossTotal total;
  for (const StackRouterLosses& stack : stacks) {
    if (stack.layers.empty() || (rules.losses_need_dense_block && !stack.has_dense_block)) continue;
    at::Tensor sum;
    if (rules.layer_losses == LayerLosses::kPooled) {
      add(total, sum, pooled(stack.layers), config, scale);
    } else {
      for (const LayerRouterLosses& layer : stack.layers) add(total, sum, layer, config, scale);
    }
    total.loss = total.loss.defined() ? total.loss + sum : sum;
  }
  return total;
}

}  // namespace switchyard
