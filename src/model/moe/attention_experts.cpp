#include "model/moe/attention_experts.h"

#include <cmath>

#include "ops/ops.h"

namespace switchyard {
namespace {

constexpr const char* kSuffix = ".attention";

ExpertShape shape_of(const ModelConfig& config) {
  return {config.attention_hidden(), 2 * config.inner_size(), "qkv"};
}

}  // namespace

std::string attention_layer_name(const std::string& block) { return block + kSuffix; }

bool is_attention_layer(const std::string& layer) { return layer.ends_with(kSuffix); }

AttentionExperts::AttentionExperts(ParameterSet& parameters, const std::string& prefix,
                                   const std::string& block, const ModelConfig& config)
    : num_heads_(config.num_heads),
      inner_(config.inner_size()),
      // Queries and keys come out of one matrix with one initial scale, so that the factor that T5
      // folds into the query's initialization stands by itself, as in Mesh-TensorFlow.
      query_scale_(1.0 / std::sqrt(static_cast<double>(config.d_kv))),
      experts_(parameters, prefix, attention_layer_name(block), config, shape_of(config)),
      o_(&parameters.create(prefix + ".o.weight", {config.d_model, inner_},
                            AttentionLayer::output_init(config))) {}

MoeOutput AttentionExperts::forward(const MoeInput& input,
                                    const AttentionLayer::Masking& masking) const {
  MoeOutput output = experts_.forward(input);
  const auto parts = output.y.split(inner_, -1);  // [B, S, H * K] each
  const at::Tensor &query = parts[0], &key_value = parts[1];
  output.y = ops::linear(
      AttentionLayer::attend(query * query_scale_, key_value, key_value, num_heads_, masking), *o_);
  return output;
}

}  // namespace switchyard
