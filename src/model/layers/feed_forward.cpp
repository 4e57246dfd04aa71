#include "model/layers/feed_forward.h"

#include <cmath>

#include "model/parallel/model_axis.h"

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
    : gated_(config.gated()), mesh_(&parameters.mesh()) {
  const int64_t halves = gated_ ? 2 : 1, inner = halves * config.d_ff;
  const int64_t part = mesh_->place().model, parts = mesh_->shape().model;
  wi_ = &parameters.create(prefix + ".wi.weight",
                           TensorSlice({inner, config.d_model}).cut(0, part, parts, halves),
                           scaled_init(config, config.d_model));
  wo_ = &parameters.create(prefix + ".wo.weight",
                           TensorSlice({config.d_model, config.d_ff}).cut(1, part, parts),
                           scaled_init(config, config.d_ff));
}

ops::DropoutColumns inner_columns(const Parameter& wo) {
  const size_t axis = static_cast<size_t>(wo.value().dim()) - 1;
  if (wo.slice().parts(axis) == 1) return {};
  return {wo.slice().begin(axis), wo.slice().whole_shape()[axis]};
}

at::Tensor FeedForward::forward(const at::Tensor& x, double rate, const RandomStream& stream,
                                int64_t first_row) const {
  const at::Tensor pre = ops::linear(enter_model_ranks(x, mesh_->model()), *wi_);
  const at::Tensor hidden = gated_ ? ops::geglu(pre) : ops::relu(pre);
  const at::Tensor dropped = ops::dropout(hidden, rate, stream, first_row, inner_columns(*wo_));
  return sum_model_ranks(ops::linear(dropped, *wo_), mesh_->model());
}

}  // namespace switchyard
