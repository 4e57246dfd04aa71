#include "model/block.h"

#include <cmath>

#include "base/format.h"
#include "base/hash.h"
#include "model/layers/relative_bias.h"
#include "ops/ops.h"

namespace switchyard {
namespace {

Parameter& norm(ParameterSet& parameters, const std::string& prefix, const ModelConfig& config) {
  return parameters.create(prefix + ".layer_norm.weight", {config.d_model}, {});
}

MoeInput moe_input(const at::Tensor& x, const Pass& pass) {
  const ForwardOptions& options = pass.options;
  return {x,       pass.segments, pass.first_sequence, options.training, options.seed, options.step,
          pass.ids};
}

at::Tensor recorded(MoeOutput layer, const Pass& pass, BlockOutput& output) {
  if (pass.options.keep_choices) layer.stats.choices = layer.plan.expert.select(1, 0);
  output.losses.push_back({layer.balance, layer.balance_terms, layer.router_z});
  output.routing.push_back(std::move(layer.stats));
  return layer.y;
}

}  // namespace

Block::Block(ParameterSet& parameters, const std::string& stack, int64_t index,
             const ModelConfig& config, bool decoder, Placement experts)
    : config_(config), decoder_(decoder), layer_(format("{}.{}", stack, index)) {
  const std::string block = format("{}.block.{}.layer.", stack, index);
  self_norm_ = &norm(parameters, block + "0", config);
  if (experts.attention) {
    attention_experts_.emplace(parameters, block + "0.SelfAttention", layer_, config);
  } else {
    self_attention_.emplace(parameters, block + "0.SelfAttention", config);
  }
  if (index == 0) {
    relative_bias_ = &parameters.create(
        block + "0.SelfAttention.relative_attention_bias.weight",
        TensorSlice({config.relative_buckets, config.num_heads})
            .cut(1, parameters.mesh().place().model, parameters.mesh().shape().model),
        {InitRule::Kind::kNormal, 1.0 / std::sqrt(static_cast<double>(config.d_model))});
  }
  if (decoder) {
    cross_norm_ = &norm(parameters, block + "1", config);
    cross_attention_.emplace(parameters, block + "1.EncDecAttention", config);
  }
  const std::string last = block + (decoder ? "2" : "1");
  feed_forward_norm_ = &norm(parameters, last, config);
  if (experts.feed_forward) {
    moe_.emplace(parameters, last + ".mlp", layer_, config);
  } else {
    feed_forward_.emplace(parameters, last + ".mlp", config);
  }
}

at::Tensor Block::offset_bias(int64_t length) const {
  return relative_offset_bias(*relative_bias_, length, length, !decoder_,
                              config_.relative_max_distance);
}

BlockOutput Block::forward(const at::Tensor& h, const Pass& pass) const {
  BlockOutput output;
  const auto [first, self] = ops::rms_norm_of_residual(h, *self_norm_, config_.norm_epsilon);
  output.h = add(first, attend_to_self(self, pass, output), pass, 0);
  if (decoder_) {
    const auto [residual, cross] =
        ops::rms_norm_of_residual(output.h, *cross_norm_, config_.norm_epsilon);
    const at::Tensor y = cross_attention_->forward(cross, pass.memory, cross_masking(pass, h));
    output.h = add(residual, y, pass, 1);
  }
  const auto [residual, last] =
      ops::rms_norm_of_residual(output.h, *feed_forward_norm_, config_.norm_epsilon);
  output.h = add(residual, moe_ ? routed(last, pass, output) : dense(last, pass), pass, 2);
  return output;
}

AttentionLayer::Masking Block::cross_masking(const Pass& pass, const at::Tensor& h) const {
  AttentionLayer::Masking masking;
  if (pass.memory_segments.defined()) {
    masking.key_segments = pass.memory_segments;
    masking.query_segments =
        pass.segments.defined() ? pass.segments : at::ones({h.size(0), h.size(1)}, at::kLong);
  } else if (pass.segments.defined()) {
    masking.query_segments = pass.segments;
    masking.key_segments = at::ones({pass.memory.size(0), pass.memory.size(1)}, at::kLong);
  }
  return masking;
}

// Dropout streams: four per block, told apart by `place`.
RandomStream Block::stream(const Pass& pass, uint64_t place) const {
  return RandomStream(pass.options.seed, kRandomDropout, pass.options.step,
                      hash64(layer_, place + 1));
}

at::Tensor Block::add(const at::Tensor& h, const at::Tensor& y, const Pass& pass,
                      uint64_t place) const {
  const double rate = pass.options.training ? config_.dropout : 0.0;
  return h + ops::dropout(y, rate, stream(pass, place), pass.first_sequence * h.size(1));
}

at::Tensor Block::dense(const at::Tensor& x, const Pass& pass) const {
  const double rate = pass.options.training ? config_.dropout : 0.0;
  return feed_forward_->forward(x, rate, stream(pass, 3), pass.first_sequence * x.size(1));
}

at::Tensor Block::attend_to_self(const at::Tensor& x, const Pass& pass, BlockOutput& output) const {
  const AttentionLayer::Masking masking{pass.offset_bias, decoder_, pass.segments, pass.segments};
  if (self_attention_) return self_attention_->forward(x, x, masking);
  return recorded(attention_experts_->forward(moe_input(x, pass), masking), pass, output);
}

at::Tensor Block::routed(const at::Tensor& x, const Pass& pass, BlockOutput& output) const {
  return recorded(moe_->forward(moe_input(x, pass)), pass, output);
}

}  // namespace switchyard
