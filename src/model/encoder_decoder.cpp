#include "model/encoder_decoder.h"

#include <c10/core/GradMode.h>

#include <cmath>
#include <deque>

#include "base/hash.h"
#include "model/block.h"
#include "model/layers/feed_forward.h"
#include "model/moe/router_loss_total.h"
#include "model/recomputed_block.h"
#include "ops/ops.h"

namespace switchyard {
namespace {

std::vector<Placement> placements(const std::vector<bool>& attention,
                                  const std::vector<bool>& feed_forward) {
  std::vector<Placement> blocks;
  for (size_t i = 0; i < attention.size(); ++i) blocks.push_back({attention[i], feed_forward[i]});
  return blocks;
}

struct StackOutput {
  at::Tensor h;  // after the final norm
  StackRouterLosses losses;
  std::vector<RoutingStats> routing;
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

  StackOutput forward(const at::Tensor& ids, Parameter& embedding, Pass pass) const {
    pass.ids = ids;
    StackOutput output;
    output.losses.has_dense_block = has_dense_block_;
    at::Tensor h = drop(ops::embedding(ids, embedding), pass, 0);
    pass.offset_bias = blocks_.front().offset_bias(h.size(1));
    const bool recompute =
        pass.options.recompute && pass.options.training && c10::GradMode::is_enabled();
    for (const Block& block : blocks_) {
      BlockOutput next = recompute ? recomputed_forward(block, h, pass) : block.forward(h, pass);
      h = next.h;
      for (LayerRouterLosses& losses : next.losses) output.losses.layers.push_back(losses);
      for (RoutingStats& stats : next.routing) output.routing.push_back(std::move(stats));
    }
    output.h = drop(ops::rms_norm(h, *final_norm_, config_.norm_epsilon), pass, 1);
    return output;
  }

 private:
  at::Tensor drop(const at::Tensor& h, const Pass& pass, uint64_t place) const {
    const RandomStream stream(pass.options.seed, kRandomDropout, pass.options.step,
                              hash64(name_, place + 1));
    return ops::dropout(h, pass.options.training ? config_.dropout : 0.0, stream,
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
  Implementation(const ModelConfig& c, Precision precision, at::Device device, const Mesh* mesh)
      : config(c),
        parameters(device, precision, mesh),
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

  /// hidden [N, D], targets [N].
  void add_losses(const at::Tensor& hidden, const at::Tensor& targets,
                  const ForwardOptions& options, ModelOutput& to) const {
    const auto count = targets.gt(0).sum().item<double>();
    const auto set = [&](const at::Tensor& loss_sum, const at::Tensor& hard_sum,
                         const at::Tensor& z_sum, const at::Tensor& correct) {
      to.loss_sum = loss_sum;
      to.cross_entropy = {hard_sum.item<double>(), count};
      to.logit_z = {z_sum.item<double>(), count};
      to.correct = {correct.item<double>(), count};
    };
    if (!options.soft_targets) {
      const auto loss =
          ops::cross_entropy(hidden, *output, targets, output_scale(), options.logit_z_loss);
      return set(loss.loss_sum, loss.loss_sum, loss.z_sum, loss.correct);
    }
    const auto loss = ops::distillation_loss(hidden, *output, targets, output_scale(),
                                             options.logit_z_loss, *options.soft_targets);
    set(loss.loss_sum, loss.hard_sum, loss.z_sum, loss.correct);
    to.soft = {loss.soft_sum.item<double>(), count};
  }

  ModelConfig config;
  ParameterSet parameters;
  Parameter* shared;
  Stack encoder, decoder;
  Parameter* output;
};

EncoderDecoder::EncoderDecoder(const ModelConfig& config, Precision precision, at::Device device,
                               const Mesh* mesh)
    : implementation_(std::make_unique<Implementation>(config, precision, device, mesh)) {}

EncoderDecoder::~EncoderDecoder() = default;

const ModelConfig& EncoderDecoder::config() const { return implementation_->config; }

ParameterSet& EncoderDecoder::parameters() { return implementation_->parameters; }
const ParameterSet& EncoderDecoder::parameters() const { return implementation_->parameters; }

namespace {

Pass encoder_pass(const Batch& batch, const ForwardOptions& options) {
  Pass pass;
  pass.options = options;
  pass.first_sequence = batch.first_sequence;
  pass.segments = batch.encoder_segments;
  return pass;
}

Pass decoder_pass(const Batch& batch, const at::Tensor& memory, const ForwardOptions& options) {
  Pass pass;
  pass.options = options;
  pass.first_sequence = batch.first_sequence;
  pass.segments = batch.decoder_segments;
  pass.memory = memory;
  pass.memory_segments = batch.encoder_segments;
  return pass;
}

}  // namespace

at::Tensor EncoderDecoder::encode(const Batch& batch, const ForwardOptions& options) {
  const Pass pass = encoder_pass(batch, options);
  return implementation_->encoder.forward(batch.encoder_ids, *implementation_->shared, pass).h;
}

at::Tensor EncoderDecoder::decode(const Batch& batch, const at::Tensor& encoder_hidden,
                                  const ForwardOptions& options) {
  const Pass pass = decoder_pass(batch, encoder_hidden, options);
  return implementation_->decoder.forward(batch.decoder_input_ids, *implementation_->shared, pass)
      .h;
}

at::Tensor EncoderDecoder::logits(const at::Tensor& hidden) {
  const at::Tensor product = ops::linear(hidden, *implementation_->output);
  const at::ScalarType wide = product.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return product.to(wide) * implementation_->output_scale();
}

Parameter& EncoderDecoder::output_table() { return *implementation_->output; }
double EncoderDecoder::output_scale() const { return implementation_->output_scale(); }

ModelOutput EncoderDecoder::forward(const Batch& batch, const ForwardOptions& options) {
  Implementation& model = *implementation_;
  StackOutput encoder =
      model.encoder.forward(batch.encoder_ids, *model.shared, encoder_pass(batch, options));
  StackOutput decoder = model.decoder.forward(batch.decoder_input_ids, *model.shared,
                                              decoder_pass(batch, encoder.h, options));
  const at::Tensor& hidden = decoder.h;
  ModelOutput output;
  model.add_losses(hidden.reshape({-1, hidden.size(-1)}), batch.targets.reshape(-1), options,
                   output);
  const RouterLossTotal router =
      total_router_losses(model.config.moe, {encoder.losses, decoder.losses});
  output.auxiliary = at::zeros({}, output.loss_sum.options());
  if (router.loss.defined()) output.auxiliary = output.auxiliary + router.loss;
  output.balance_loss = router.balance;
  output.router_z_loss = router.router_z;
  for (StackOutput* stack : {&encoder, &decoder}) {
    for (RoutingStats& stats : stack->routing) output.routing.push_back(std::move(stats));
  }
  return output;
}

}  // namespace switchyard
