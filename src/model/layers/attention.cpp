#include "model/layers/attention.h"

#include <cmath>
#include <vector>

#include "model/parallel/model_axis.h"
#include "ops/ops.h"

namespace switchyard {
namespace {

InitRule normal(double fan_in) { return {InitRule::Kind::kNormal, 1.0 / std::sqrt(fan_in)}; }

}  // namespace

InitRule AttentionLayer::output_init(const ModelConfig& config) {
  return normal(static_cast<double>(config.inner_size()));
}

AttentionLayer::AttentionLayer(ParameterSet& parameters, const std::string& prefix,
                               const ModelConfig& config)
    : num_heads_(config.num_heads / parameters.mesh().shape().model), mesh_(&parameters.mesh()) {
  const auto d = static_cast<double>(config.d_model);
  const int64_t inner = config.inner_size();
  const auto create = [&](const char* name, TensorSlice slice, size_t axis, InitRule init) {
    slice.cut(axis, mesh_->place().model, mesh_->shape().model);
    return &parameters.create(prefix + "." + name + ".weight", slice, init);
  };
  // The query's scale carries attention's 1/sqrt(d_kv).
  q_ = create("q", {inner, config.d_model}, 0, normal(d * static_cast<double>(config.d_kv)));
  k_ = create("k", {inner, config.d_model}, 0, normal(d));
  v_ = create("v", {inner, config.d_model}, 0, normal(d));
  o_ = create("o", {config.d_model, inner}, 1, output_init(config));
}

at::Tensor AttentionLayer::attend(const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value, int64_t num_heads,
                                  const Masking& masking) {
  const auto heads = [&](const at::Tensor& projected) {
    return projected.unflatten(2, {num_heads, projected.size(2) / num_heads});
  };
  ops::AttentionInput input;
  input.query = heads(query);
  input.key = heads(key);
  input.value = heads(value);
  input.offset_bias = masking.offset_bias;
  input.causal = masking.causal;
  input.query_segments = masking.query_segments;
  input.key_segments = masking.key_segments;
  return ops::attention(input).flatten(2);
}

at::Tensor AttentionLayer::forward(const at::Tensor& x, const at::Tensor& memory,
                                   const Masking& masking) const {
  Communicator& ranks = mesh_->model();
  const at::Tensor own = enter_model_ranks(x, ranks);
  std::vector<at::Tensor> projected;  // query, key, value
  if (x.is_same(memory)) {
    projected = ops::linears(own, {q_, k_, v_});
  } else {
    projected = ops::linears(enter_model_ranks(memory, ranks), {k_, v_});
    projected.insert(projected.begin(), ops::linear(own, *q_));
  }
  return sum_model_ranks(
      ops::linear(attend(projected[0], projected[1], projected[2], num_heads_, masking), *o_),
      ranks);
}

}  // namespace switchyard
