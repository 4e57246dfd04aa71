// Switch in self-attention (paper appendix A): a token's expert makes its query and one vector that
// is both its key and its value. B: sequences, S: positions, D: d_model, H: heads, K: d_kv, E:
// experts.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "model/layers/attention.h"
#include "model/moe/moe_layer.h"

namespace switchyard {

/// Name in statistics of the experts in the self-attention of block `block`: "encoder.1.attention".
std::string attention_layer_name(const std::string& block);
bool is_attention_layer(const std::string& layer);

class AttentionExperts {
 public:
  /// Creates the router and experts of MoeLayer under `prefix`, their last map as `qkv` [E, 2 H K,
  /// F or D] (queries, then keys = values), and `prefix.o.weight` [D, H K]. `block`: "encoder.1".
  AttentionExperts(ParameterSet& parameters, const std::string& prefix, const std::string& block,
                   const ModelConfig& config);

  /// input.x attends to itself; the output's y is [B, S, D]. A token without a place in its expert
  /// has the query, key and value 0: it attends by position alone, others see a key that scores 0
  /// with nothing behind it, and its own content goes on by the residual.
  MoeOutput forward(const MoeInput& input, const AttentionLayer::Masking& masking) const;

 private:
  int64_t num_heads_, inner_;
  double query_scale_;
  MoeLayer experts_;
  Parameter* o_;
};

}  // namespace switchyard
