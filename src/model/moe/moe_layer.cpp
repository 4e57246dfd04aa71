#include "model/moe/moe_layer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "base/profile.h"
#include "model/layers/feed_forward.h"
#include "model/moe/router_losses.h"
#include "ops/ops.h"
#include "ops/parameter_bridge.h"

namespace switchyard {
namespace {

// What measure() reads: logits and probabilities [T, E], float32.
struct Measured {
  const RoutingPlan& plan;
  const float* logits;
  const float* probabilities;
  const int64_t* expert;
  const bool* kept;
};

/// Sums over tokens begin .. end. log Z comes from the most probable expert: log p = h - log Z.
RoutingStats measure_tokens(const Measured& in, int64_t begin, int64_t end) {
  const int64_t experts = in.plan.num_experts, choices = in.plan.num_choices;
  RoutingStats stats;
  stats.load.assign(static_cast<size_t>(experts), 0.0);
  for (int64_t t = begin; t < end; ++t) {
    const int64_t first = in.expert[t * choices];
    if (first < 0) continue;
    stats.tokens += 1;
    stats.load[static_cast<size_t>(first)] += 1;
    // A token is dropped when none of its choices was kept.
    const bool* kept = in.kept + t * choices;
    if (std::none_of(kept, kept + choices, [](bool k) { return k; })) stats.dropped += 1;
    const float *h = in.logits + t * experts, *p = in.probabilities + t * experts;
    float largest_h = h[0], largest_p = p[0], mean_logit = 0;
#pragma omp simd reduction(max : largest_h, largest_p) reduction(+ : mean_logit)
    for (int64_t e = 0; e < experts; ++e) {
      largest_h = std::max(largest_h, h[e]);
      largest_p = std::max(largest_p, p[e]);
      mean_logit += p[e] * h[e];
    }
    const float log_z = largest_h - std::log(largest_p);
    stats.entropy_sum += log_z - mean_logit;
    stats.confidence_sum += p[first];
    stats.router_z += log_z * log_z;
  }
  return stats;
}

/// One pass over logits and probabilities [T, E], in blocks that do not depend on the threads.
RoutingStats measure(const std::string& layer, const RoutingPlan& plan, const at::Tensor& logits,
                     const at::Tensor& probabilities) {
  constexpr int64_t kBlock = 512;
  const at::Tensor wide_logits = logits.detach().to(at::kFloat).contiguous();
  const at::Tensor wide_probabilities = probabilities.detach().to(at::kFloat).contiguous();
  const Measured in{plan, wide_logits.const_data_ptr<float>(),
                    wide_probabilities.const_data_ptr<float>(),
                    plan.expert.const_data_ptr<int64_t>(), plan.kept.const_data_ptr<bool>()};
  std::vector<RoutingStats> blocks(static_cast<size_t>((plan.num_tokens + kBlock - 1) / kBlock));
  at::parallel_for(0, static_cast<int64_t>(blocks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      blocks[static_cast<size_t>(b)] =
          measure_tokens(in, b * kBlock, std::min((b + 1) * kBlock, plan.num_tokens));
    }
  });
  RoutingStats stats;
  stats.load.assign(static_cast<size_t>(plan.num_experts), 0.0);
  for (const RoutingStats& block : blocks) stats += block;
  stats.layer = layer;
  stats.calls = 1;
  stats.router_z = stats.tokens > 0 ? stats.router_z / stats.tokens : 0.0;
  return stats;
}

}  // namespace

MoeLayer::MoeLayer(ParameterSet& parameters, const std::string& prefix, const std::string& layer,
                   const ModelConfig& config, const ExpertShape& shape)
    : config_(config.moe),
      kind_(router_kind(config.moe)),
      rules_(routing_rules(config.moe)),
      layer_(layer),
      layer_key_(hash64(layer)),
      gated_(config.gated()),
      dropout_(config.moe.expert_dropout),
      router_(kind_.make(config)) {
  const int64_t experts = config_.num_experts;
  if (kind_.learned) {
    classifier_ =
        &parameters.create(prefix + ".router.classifier.weight", {experts, config.d_model},
                           router_init(config));
    if (parameters.precision() == Precision::kBfloat16Selective) {
      classifier_->set_compute_type(at::kFloat);
    }
  }
  if (shape.inner > 0) {
    const int64_t rows = (gated_ ? 2 : 1) * shape.inner;
    wi_ = &parameters.create(prefix + ".experts.wi.weight", {experts, rows, config.d_model},
                             scaled_init(config, config.d_model), experts);
  }
  const int64_t last_input = wi_ ? shape.inner : config.d_model;
  wo_ = &parameters.create(prefix + ".experts." + shape.last + ".weight",
                           {experts, shape.output, last_input},
                           scaled_init(config, last_input), experts);
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
  output.stats = measure(layer_, output.plan, logits, probabilities);
  output.stats.balance = output.balance.item<double>();
}

at::Tensor MoeLayer::experts(const MoeInput& input, const at::Tensor& tokens,
                             const RoutingPlan& plan) const {
  if (!wi_) return ops::expert_linear(tokens, plan, *wo_);
  ops::ExpertOptions options;
  options.gated = gated_;
  options.dropout = input.training ? dropout_ : 0.0;
  options.dropout_stream = RandomStream(input.seed, kRandomDropout, input.step, layer_key_);
  options.first_token = input.first_sequence * input.x.size(1);
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
