// The Switch layer (paper section 2): route -> dispatch -> experts -> combine. Takes the place of a
// block's feed-forward; attention_experts.h puts it into self-attention. B: sequences, S:
// positions, T = B * S tokens, D: d_model, E: experts, F: their inner width, O: their outputs.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>

#include "base/random.h"
#include "model/config.h"
#include "model/moe/router.h"
#include "model/moe/router_losses.h"
#include "model/moe/routing_stats.h"
#include "model/parameter_set.h"

namespace switchyard {

struct MoeInput {
  at::Tensor x;         // [B, S, D], after the block's norm
  at::Tensor segments;  // [B, S] int64, 0 = padding; undefined: all real
  int64_t first_sequence = 0;
  bool training = false;
  uint64_t seed = 1, step = 0;
  at::Tensor ids = {};  // [B, S] int64 token ids; only the hash router reads them
};

struct MoeOutput {
  at::Tensor y;        // [B, S, O]; 0 for dropped tokens and for padding that is not routed
  at::Tensor balance;  // float32 scalar, before its factor; 0 for a router that needs no such loss
  BalanceTerms balance_terms;  // its halves, undefined then
  at::Tensor router_z;         // float32 scalar, before its factor; undefined if the factor is 0
  RoutingPlan plan;
  RoutingStats stats;
};

/// What one expert computes: `last` of the activation of wi, or one linear map.
struct ExpertShape {
  int64_t inner = 0;   // F; 0: linear
  int64_t output = 0;  // O
  std::string last = "wo";
};

class MoeLayer {
 public:
  /// Creates `prefix.router.classifier.weight` [E, D] if the router learns,
  /// `prefix.experts.wi.weight` [E, F, D] (2F when gated) and `prefix.experts.wo.weight` [E, O, F],
  /// wo under the name `shape.last`; of linear experts only that one, [E, O, D]. Experts are dealt
  /// out to the mesh's ranks along `expert`, F to those along `model`. `layer` names it in
  /// statistics and, hashed, keys its random numbers.
  MoeLayer(ParameterSet& parameters, const std::string& prefix, const std::string& layer,
           const ModelConfig& config, const ExpertShape& shape);
  /// Experts of the block's feed-forward: F = d_ff, O = D.
  MoeLayer(ParameterSet& parameters, const std::string& prefix, const std::string& layer,
           const ModelConfig& config)
      : MoeLayer(parameters, prefix, layer, config, {config.d_ff, config.d_model}) {}

  /// Selective precision (section 2.4): whatever the type of x, the router's input, logits, softmax
  /// and losses are float32, unless the precision is plain "bf16".
  MoeOutput forward(const MoeInput& input) const;

 private:
  RouterInput make_router_input(const MoeInput& input) const;
  at::Tensor explored(const MoeInput& input, const at::Tensor& tokens) const;
  void route(const MoeInput& input, const at::Tensor& tokens, MoeOutput& output) const;
  at::Tensor router_logits(const MoeInput& input, const at::Tensor& tokens) const;
  at::Tensor experts(const MoeInput& input, const at::Tensor& tokens,
                     const RoutingPlan& plan) const;
  at::Tensor computed_experts(const MoeInput& input, const at::Tensor& tokens,
                              const RoutingPlan& plan) const;

  MoeConfig config_;
  RouterKind kind_;
  RoutingRules rules_;
  std::string layer_;
  uint64_t layer_key_;
  bool gated_;
  double dropout_;
  const Mesh* mesh_;
  std::unique_ptr<Router> router_;
  Parameter* classifier_ = nullptr;
  Parameter* wi_ = nullptr;  // null: linear experts
  Parameter* wo_;
};

}  // namespace switchyard
