#include "model/layers/attention.h"

#include <cmath>

#include "ops/ops.h"

namespace switchyard {
namespace {

InitRule normal(double fan_in) { return {InitRule::Kind::kNormal, 1.0 / std::sqrt(fan_in)}; }

}  // namespace

AttentionLayer::AttentionLayer(ParameterSet& parameters, const std::string& prefix,
                               const ModelConfig& config)
    : num_heads_(config.num_heads), d_kv_(config.d_kv) {
  const auto d = static_cast<double>(config.d_model);
  const int64_t inner = config.inner_size();
  const auto create = [&](const char* name, int64_t out, int64_t in, double fan_in) {
    return &parameters.create(prefix + "." + name + ".weight", {out, in}, normal(fan_in));
  };
  // The query's scale carries attention's 1/sqrt(d_kv).
  q_ = create("q", inner, config.d_model, d * static_cast<double>(d_kv_));
  k_ = create("k", inner, config.d_model, d);
  v_ = create("v", inner, config.d_model, d);
  o_ = create("o", config.d_model, inner, static_cast<double>(inner));
}

at::Tensor AttentionLayer::forward(const at::Tensor& x, const at::Tensor& memory,
                                   const Masking& masking) const {
  const auto heads = [&](const at::Tensor& projected) {
    return projected.view({projected.size(0), projected.size(1), num_heads_, d_kv_});
  };
  ops::AttentionInput input;
  input.query = heads(ops::linear(x, *q_));
  input.key = heads(ops::linear(memory, *k_));
  input.value = heads(ops::linear(memory, *v_));
  input.offset_bias = masking.offset_bias;
  input.causal = masking.causal;
  input.query_segments = masking.query_segments;
  input.key_segments = masking.key_segments;
  const at::Tensor attended = ops::attention(input);
  return ops::linear(attended.reshape({x.size(0), x.size(1), num_heads_ * d_kv_}), *o_);
}

}  // namespace switchyard
