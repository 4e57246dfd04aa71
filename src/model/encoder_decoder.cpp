#include "model/encoder_decoder.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/format.h"
#include "base/hash.h"
#include "model/layers/attention.h"
#include "model/layers/feed_forward.h"
#include "model/layers/relative_bias.h"
#include "model/moe/attention_experts.h"
#include "model/moe/moe_layer.h"
#include "model/moe/router_loss_total.h"
#include "ops/ops.h"

namespace switchyard {
namespace {

/// What the layers of one pass through one stack share.
struct Pass {
  const ForwardOptions* options;
  int64_t first_sequence;
  at::Tensor segments;                 // of this stack
  at::Tensor memory, memory_segments;  // decoder only: the encoder's output
  at::Tensor offset_bias;              // [H, 2S - 1], shared by the stack's blocks
  at::Tensor ids;                      // of this stack
  StackRouterLosses losses;
  std::vector<RoutingStats> routing;
};

/// Which parts of a block have experts.
struct Placement {
  bool attention, feed_forward;
};

std::vector<Placement> placements(const std::vector<bool>& attention,
                                  const std::vector<bool>& feed_forward) {
  std::vector<Placement> blocks;
  for (size_t i = 0; i < attention.size(); ++i) blocks.push_back({attention[i], feed_forward[i]});
  return blocks;
}

/// Self-attention, cross-attention in a decoder, feed-forward: each on the norm of the residual
/// stream, its result dropped out and added back.
class Block {
 public:
  Block(ParameterSet& parameters, const std::string& stack, int64_t index,
        const ModelConfig& config, bool decoder, Placement experts)
      : config_(config), decoder_(decoder), layer_(format("{}.{}", stack, index)) {
    const std::string block = format("{}.block.{}.layer.", stack, index);
    self_norm_ = &norm(parameters, block + "0");
    if (experts.attention) {
      attention_experts_.emplace(parameters, block + "0.SelfAttention", layer_, config);
    } else {
      self_attention_.emplace(parameters, block + "0.SelfAttention", config);
    }
    if (index == 0) {
      relative_bias_ = &parameters.create(
          block + "0.SelfAttention.relative_attention_bias.weight",
          {config.relative_buckets, config.num_heads},
          {InitRule::Kind::kNormal, 1.0 / std::sqrt(static_cast<double>(config.d_model))});
    }
    if (decoder) {
      cross_norm_ = &norm(parameters, block + "1");
      cross_attention_.emplace(parameters, block + "1.EncDecAttention", config);
    }
    const std::string last = block + (decoder ? "2" : "1");
    feed_forward_norm_ = &norm(parameters, last);
    if (experts.feed_forward) {
      moe_.emplace(parameters, last + ".mlp", layer_, config);
    } else {
      feed_forward_.emplace(parameters, last + ".mlp", config);
    }
  }

  at::Tensor forward(at::Tensor h, Pass& pass) const {
    if (relative_bias_) {
      pass.offset_bias = relative_offset_bias(*relative_bias_, h.size(1), h.size(1), !decoder_,
                                              config_.relative_max_distance);
    }
    const at::Tensor self = ops::rms_norm(h, *self_norm_, config_.norm_epsilon);
    h = add(h, attend_to_self(self, pass), pass, 0);
    if (decoder_) {
      const at::Tensor cross = ops::rms_norm(h, *cross_norm_, config_.norm_epsilon);
      h = add(h, cross_attention_->forward(cross, pass.memory, cross_masking(pass, h)), pass, 1);
    }
    const at::Tensor last = ops::rms_norm(h, *feed_forward_norm_, config_.norm_epsilon);
    return add(h, moe_ ? routed(last, pass) : dense(last, pass), pass, 2);
  }

 private:
  Parameter& norm(ParameterSet& parameters, const std::string& prefix) {
    return parameters.create(prefix + ".layer_norm.weight", {config_.d_model}, {});
  }

  AttentionLayer::Masking cross_masking(const Pass& pass, const at::Tensor& h) const {
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
  RandomStream stream(const Pass& pass, uint64_t place) const {
    return RandomStream(pass.options->seed, kRandomDropout, pass.options->step,
                        hash64(layer_, place + 1));
  }

  at::Tensor add(const at::Tensor& h, const at::Tensor& y, const Pass& pass, uint64_t place) const {
    const double rate = pass.options->training ? config_.dropout : 0.0;
    return h + ops::dropout(y, rate, stream(pass, place), pass.first_sequence * h.size(1));
  }

  at::Tensor dense(const at::Tensor& x, const Pass& pass) const {
    const double rate = pass.options->training ? config_.dropout : 0.0;
    return feed_forward_->forward(x, rate, stream(pass, 3), pass.first_sequence * x.size(1));
  }

  at::Tensor attend_to_self(const at::Tensor& x, Pass& pass) const {
    const AttentionLayer::Masking masking{pass.offset_bias, decoder_, pass.segments, pass.segments};
    if (self_attention_) return self_attention_->forward(x, x, masking);
    return recorded(attention_experts_->forward(moe_input(x, pass), masking), pass);
  }

  at::Tensor routed(const at::Tensor& x, Pass& pass) const {
    return recorded(moe_->forward(moe_input(x, pass)), pass);
  }

  static MoeInput moe_input(const at::Tensor& x, const Pass& pass) {
    const ForwardOptions& options = *pass.options;
    return {
        x,       pass.segments, pass.first_sequence, options.training, options.seed, options.step,
        pass.ids};
  }

  static at::Tensor recorded(MoeOutput output, Pass& pass) {
    pass.losses.layers.push_back({output.balance, output.balance_terms, output.router_z});
    pass.routing.push_back(std::move(output.stats));
    return output.y;
  }

  ModelConfig config_;
  bool decoder_;
  std::string layer_;
  Parameter *self_norm_ = nullptr, *cross_norm_ = nullptr, *feed_forward_norm_ = nullptr;
  Parameter* relative_bias_ = nullptr;
  std::optional<AttentionLayer> self_attention_, cross_attention_;
  std::optional<AttentionExperts> attention_experts_;
  std::optional<FeedForward> feed_forward_;
  std::optional<MoeLayer> moe_;
};

/// Embedding, blocks, final norm.
class Stack {
 public:
  Stack(ParameterSet& parameters, const std::string& name, const ModelConfig& config,
        const std::vector<Placement>& experts, bool decoder)
      : config_(config), name_(name) {
    for (size_t i = 0; i < experts.size(); ++i) {
      blocks_.emplace_back(parameters, name, static_cast<int64_t>(i), config, decoder, experts[i]);
      has_dense_block_ |= !experts[i].feed_forward;
    }
    final_norm_ = &parameters.create(name + ".final_layer_norm.weight", {config.d_model}, {});
  }

  at::Tensor forward(const at::Tensor& ids, Parameter& embedding, Pass& pass) const {
    pass.ids = ids;
    pass.losses.has_dense_block = has_dense_block_;
    at::Tensor h = drop(ops::embedding(ids, embedding), pass, 0);
    for (const Block& block : blocks_) h = block.forward(h, pass);
    return drop(ops::rms_norm(h, *final_norm_, config_.norm_epsilon), pass, 1);
  }

 private:
  at::Tensor drop(const at::Tensor& h, const Pass& pass, uint64_t place) const {
    const RandomStream stream(pass.options->seed, kRandomDropout, pass.options->step,
                              hash64(name_, place + 1));
    return ops::dropout(h, pass.options->training ? config_.dropout : 0.0, stream,
                        pass.first_sequence * h.size(1));
  }

  ModelConfig config_;
  std::string name_;
  bool has_dense_block_ = false;
  std::deque<Block> blocks_;
  Parameter* final_norm_;
};

}  // namespace

struct EncoderDecoder::Implementation {
  Implementation(const ModelConfig& c, Precision precision, at::Device device)
      : config(c),
        parameters(device, precision),
        shared(&parameters.create("shared.weight", {c.vocab_size, c.d_model},
                                  {InitRule::Kind::kNormal, 1.0})),
        encoder(parameters, "encoder", c,
                placements(c.expert_attention_encoder_layers(), c.sparse_encoder_layers()), false),
        decoder(parameters, "decoder", c,
                placements(c.expert_attention_decoder_layers(), c.sparse_decoder_layers()), true),
        output(c.tie_embeddings ? shared
                                : &parameters.create("lm_head.weight", {c.vocab_size, c.d_model},
                                                     scaled_init(c, c.d_model))) {}

  /// T5 scales the decoder's output only when the output layer is the embedding.
  double output_scale() const {
    return config.tie_embeddings ? 1.0 / std::sqrt(static_cast<double>(config.d_model)) : 1.0;
  }

  ModelConfig config;
  ParameterSet parameters;
  Parameter* shared;
  Stack encoder, decoder;
  Parameter* output;
};

EncoderDecoder::EncoderDecoder(const ModelConfig& config, Precision precision, at::Device device)
    : implementation_(std::make_unique<Implementation>(config, precision, device)) {}

EncoderDecoder::~EncoderDecoder() = default;

const ModelConfig& EncoderDecoder::config() const { return implementation_->config; }

ParameterSet& EncoderDecoder::parameters() { return implementation_->parameters; }
const ParameterSet& EncoderDecoder::parameters() const { return implementation_->parameters; }

namespace {

Pass encoder_pass(const Batch& batch, const ForwardOptions& options) {
  Pass pass{};
  pass.options = &options;
  pass.first_sequence = batch.first_sequence;
  pass.segments = batch.encoder_segments;
  return pass;
}

Pass decoder_pass(const Batch& batch, const at::Tensor& memory, const ForwardOptions& options) {
  Pass pass{};
  pass.options = &options;
  pass.first_sequence = batch.first_sequence;
  pass.segments = batch.decoder_segments;
  pass.memory = memory;
  pass.memory_segments = batch.encoder_segments;
  return pass;
}

}  // namespace

at::Tensor EncoderDecoder::encode(const Batch& batch, const ForwardOptions& options) {
  Pass pass = encoder_pass(batch, options);
  return implementation_->encoder.forward(batch.encoder_ids, *implementation_->shared, pass);
}

at::Tensor EncoderDecoder::decode(const Batch& batch, const at::Tensor& encoder_hidden,
                                  const ForwardOptions& options) {
  Pass pass = decoder_pass(batch, encoder_hidden, options);
  return implementation_->decoder.forward(batch.decoder_input_ids, *implementation_->shared, pass);
}

at::Tensor EncoderDecoder::logits(const at::Tensor& hidden) {
  const at::Tensor product = ops::linear(hidden, *implementation_->output);
  const at::ScalarType wide = product.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return product.to(wide) * implementation_->output_scale();
}

ModelOutput EncoderDecoder::forward(const Batch& batch, const ForwardOptions& options) {
  Implementation& model = *implementation_;
  Pass encoder = encoder_pass(batch, options);
  const at::Tensor memory = model.encoder.forward(batch.encoder_ids, *model.shared, encoder);
  Pass decoder = decoder_pass(batch, memory, options);
  const at::Tensor hidden = model.decoder.forward(batch.decoder_input_ids, *model.shared, decoder);
  const auto loss =
      ops::cross_entropy(hidden.reshape({-1, hidden.size(-1)}), *model.output,
                         batch.targets.reshape(-1), model.output_scale(), options.logit_z_loss);
  ModelOutput output;
  const auto count = batch.targets.gt(0).sum().item<double>();
  output.loss_sum = loss.loss_sum;
  output.cross_entropy = {loss.loss_sum.item<double>(), count};
  output.logit_z = {loss.z_sum.item<double>(), count};
  output.correct = {loss.correct.item<double>(), count};
  const RouterLossTotal router =
      total_router_losses(model.config.moe, {encoder.losses, decoder.losses});
  output.auxiliary = at::zeros({}, loss.loss_sum.options());
  if (router.loss.defined()) output.auxiliary = output.auxiliary + router.loss;
  output.balance_loss = router.balance;
  output.router_z_loss = router.router_z;
  for (Pass* pass : {&encoder, &decoder}) {
    for (RoutingStats& stats : pass->routing) output.routing.push_back(std::move(stats));
  }
  return output;
}

}  // namespace switchyard
