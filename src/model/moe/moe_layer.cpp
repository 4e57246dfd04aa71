#include "model/moe/moe_layer.h"

#include <algorithm>

#include "base/hash.h"
#include "base/profile.h"
#include "model/layers/feed_forward.h"
#include "model/moe/gates.h"
#include "model/moe/router_losses.h"
#include "model/parallel/expert_dispatch.h"
#include "model/parallel/model_axis.h"
#include "ops/ops.h"
#include "ops/parameter_bridge.h"

namespace switchyard {

MoeLayer::MoeLayer(ParameterSet& parameters, const std::string& prefix, const std::string& layer,
                   const ModelConfig& config, const ExpertShape& shape)
    : config_(config.moe),
      kind_(router_kind(config.moe)),
      rules_(routing_rules(config.moe)),
      layer_(layer),
      layer_key_(hash64(layer)),
      gated_(config.gated()),
      dropout_(config.moe.expert_dropout),
      mesh_(&parameters.mesh()),
      router_(kind_.make(config)) {
  const int64_t experts = config_.num_experts;
  if (kind_.learned) {
    classifier_ = &parameters.create(prefix + ".router.classifier.weight",
                                     {experts, config.d_model}, router_init(config));
    if (parameters.precision() == Precision::kBfloat16Selective) {
      classifier_->set_compute_type(at::kFloat);
    }
  }
  const auto create = [&](const std::string& name, TensorSlice slice, int64_t fan_in) {
    slice.cut(0, mesh_->place().expert, mesh_->shape().expert);
    return &parameters.create(prefix + ".experts." + name + ".weight", slice,
                              scaled_init(config, fan_in), /*stack=*/true);
  };
  const int64_t part = mesh_->place().model, parts = mesh_->shape().model;
  if (shape.inner > 0) {
    const int64_t halves = gated_ ? 2 : 1;
    TensorSlice wi({experts, halves * shape.inner, config.d_model});
    wi_ = create("wi", wi.cut(1, part, parts, halves), config.d_model);
  }
  const int64_t last_input = wi_ ? shape.inner : config.d_model;
  TensorSlice last({experts, shape.output, last_input});
  wo_ = create(shape.last, wi_ ? last.cut(2, part, parts) : last, last_input);
}

at::Tensor MoeLayer::explored(const MoeInput& input, const at::Tensor& tokens) const {
  if (!input.training) return tokens;
  const int64_t first_token = input.first_sequence * input.x.size(1);
  if (config_.exploration == "jitter" && config_.jitter > 0) {
    const RandomStream stream(input.seed, kRandomJitter, input.step, layer_key_);
    return ops::jitter(tokens, config_.jitter, stream, first_token);
  }
  if (config_.exploration == "input_dropout") {
    // Another key than the router's own draws.
    const RandomStream stream(input.seed, kRandomExplore, input.step, layer_key_ + 1);
    return ops::dropout(tokens, config_.input_dropout, stream, first_token);
  }
  return tokens;
}

at::Tensor MoeLayer::router_logits(const MoeInput& input, const at::Tensor& tokens) const {
  const at::Tensor own = tokens.to(classifier_->compute().scalar_type());
  return ops::linear(explored(input, own), *classifier_);
}

RouterInput MoeLayer::make_router_input(const MoeInput& input) const {
  RouterInput routing;
  if (input.segments.defined() && !rules_.route_padding) {
    routing.valid = input.segments.reshape(-1).gt(0);
  }
  if (input.ids.defined()) routing.ids = input.ids.reshape(-1);
  routing.training = input.training;
  routing.draws = RandomStream(input.seed, kRandomExplore, input.step, layer_key_);
  const int64_t sequences = input.x.size(0), length = input.x.size(1);
  routing.first_token = input.first_sequence * length;
  const int64_t group = rules_.group_sequences;
  // Groups are slices of the global batch, so the first one here may be the rest of one.
  int64_t begin = 0;
  while (begin < sequences) {
    const int64_t end = std::min(sequences, begin + group - (input.first_sequence + begin) % group);
    routing.group_ends.push_back(end * length);
    routing.capacity.push_back(expert_capacity(config_, (end - begin) * length, input.training));
    begin = end;
  }
  return routing;
}

void MoeLayer::route(const MoeInput& input, const at::Tensor& tokens, MoeOutput& output) const {
  RouterInput routing = make_router_input(input);
  if (!kind_.learned) {
    output.plan = router_->route(routing);
    if (tokens.scalar_type() == at::kDouble) output.plan.gate = output.plan.gate.to(at::kDouble);
    output.balance = at::zeros({}, at::kFloat);
    output.stats = count_places(layer_, output.plan);
    return;
  }
  const at::Tensor logits = router_logits(input, tokens);  // [T, E]
  const at::Tensor probabilities = at::softmax(logits, -1);
  routing.probabilities =
      rules_.round_probabilities ? probabilities.to(tokens.scalar_type()) : probabilities;
  output.plan = router_->route(routing);
  weigh_gates(output.plan, config_.gate);
  const at::ScalarType type = probabilities.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  if (kind_.balanced) {
    output.balance_terms =
        balance_terms(probabilities, counted_choices(output.plan, probabilities, rules_.balance),
                      routing.valid, routing.group_ends, rules_.balance);
    output.balance = balance_loss(output.balance_terms, type);
  } else {
    output.balance = at::zeros({}, type);
  }
  if (config_.z_loss > 0) output.router_z = router_z_loss(logits, routing.valid);
  output.stats = measure_routing(layer_, output.plan, logits, probabilities);
  output.stats.balance = output.balance.item<double>();
}

at::Tensor MoeLayer::experts(const MoeInput& input, const at::Tensor& tokens,
                             const RoutingPlan& plan) const {
  Communicator& model = mesh_->model();
  const at::Tensor x = enter_model_ranks(tokens, model);
  RoutingPlan own = plan;
  own.gate = enter_model_ranks(plan.gate, model);
  return sum_model_ranks(computed_experts(input, x, own), model);
}

at::Tensor MoeLayer::computed_experts(const MoeInput& input, const at::Tensor& tokens,
                                      const RoutingPlan& plan) const {
  const bool shared_out = mesh_->expert().size() > 1;
  if (!wi_ && !shared_out) return ops::expert_linear(tokens, plan, *wo_);
  ops::ExpertOptions options;
  options.gated = gated_;
  options.dropout = input.training && wi_ ? dropout_ : 0.0;
  options.dropout_stream = RandomStream(input.seed, kRandomDropout, input.step, layer_key_);
  options.first_token = input.first_sequence * input.x.size(1);
  if (wi_) options.columns = inner_columns(*wo_);
  if (shared_out) {
    return dispatch_experts(tokens, plan, wi_, *wo_, options, mesh_->expert(),
                            mesh_->exchange_chunks());
  }
  return ops::expert_feed_forward(tokens, plan, *wi_, *wo_, options);
}

MoeOutput MoeLayer::forward(const MoeInput& input) const {
  const ProfileScope profile("router forward");
  const at::Tensor tokens = input.x.reshape({-1, input.x.size(-1)});  // [T, D]
  MoeOutput output;
  route(input, tokens, output);
  output.y = experts(input, tokens, output.plan)
                 .view({input.x.size(0), input.x.size(1), wo_->value().size(1)});
  return output;
}

}  // namespace switchyard
