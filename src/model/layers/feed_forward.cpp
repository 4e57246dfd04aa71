#include "model/layers/feed_forward.h"

#include <cmath>

#include "ops/ops.h"

namespace switchyard {

namespace {

InitRule truncated_normal(double scale, int64_t fan_in) {
  return {InitRule::Kind::kTruncatedNormal, std::sqrt(scale / static_cast<double>(fan_in))};
}

}  // namespace

InitRule scaled_init(const ModelConfig& config, int64_t fan_in) {
  return truncated_normal(config.init_scale, fan_in);
}

InitRule router_init(const ModelConfig& config) {
  const double own = config.moe.router_init_scale;
  return truncated_normal(own > 0 ? own : config.init_scale, config.d_model);
}

FeedForward::FeedForward(ParameterSet& parameters, const std::string& prefix,
                         const ModelConfig& config)
    : gated_(config.gated()) {
  const int64_t inner = (gated_ ? 2 : 1) * config.d_ff;
  wi_ = &parameters.create(prefix + ".wi.weight", {inner, config.d_model},
                           scaled_init(config, config.d_model));
  wo_ = &parameters.create(prefix + ".wo.weight", {config.d_model, config.d_ff},
                           scaled_init(config, config.d_ff));
}

at::Tensor FeedForward::forward(const at::Tensor& x, double rate, const RandomStream& stream,
                                int64_t first_row) const {
  const at::Tensor pre = ops::linear(x, *wi_);
  const at::Tensor hidden = gated_ ? ops::geglu(pre) : ops::relu(pre);
  return ops::linear(ops::dropout(hidden, rate, stream, first_row), *wo_);
}

}  // namespace switchyard
