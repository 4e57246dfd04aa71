// T5's multi-head attention: no biases, no 1/sqrt(d_kv), output projection back to D (research
// note 6). B: sequences, S: queries, T: keys, D: d_model, H: heads, K: d_kv.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "model/config.h"
#include "model/parameter_set.h"

namespace switchyard {

class AttentionLayer {
 public:
  /// Creates `prefix.{q,k,v,o}.weight`, heads shared out to the ranks along `model`.
  AttentionLayer(ParameterSet& parameters, const std::string& prefix, const ModelConfig& config);

  /// How the output projection starts.
  static InitRule output_init(const ModelConfig& config);

  struct Masking {
    at::Tensor offset_bias;  // [H, S + T - 1] or undefined
    bool causal = false;
    at::Tensor query_segments, key_segments;  // [B, S], [B, T] or undefined
  };
  /// x [B, S, D] attends to memory [B, T, D] (x itself in self-attention) -> [B, S, D].
  at::Tensor forward(const at::Tensor& x, const at::Tensor& memory, const Masking& masking) const;

  /// Attention without its projections: query [B, S, H * K], key and value [B, T, H * K] (slices of
  /// wider ones at no cost) -> [B, S, H * K].
  static at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           int64_t num_heads, const Masking& masking);

 private:
  int64_t num_heads_;  // of this rank
  const Mesh* mesh_;
  Parameter *q_, *k_, *v_, *o_;
};

}  // namespace switchyard
