// The T5-like encoder-decoder, dense or with Switch layers (paper section 2).
// B: sequences, S: encoder positions, T: decoder positions, D: d_model, V: vocabulary rows.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "model/batch.h"
#include "model/config.h"
#include "model/forward_options.h"
#include "model/loss_sum.h"
#include "model/moe/routing_stats.h"
#include "model/parameter_set.h"

namespace switchyard {

struct ModelOutput {
  // Differentiable float32 scalars. Total loss of a batch of N real targets:
  //   loss_sum / N + auxiliary
  at::Tensor loss_sum;      // cross-entropy in nats summed over real targets, in distillation mixed
                            // with the teacher's (backward carries the logit z-loss too)
  at::Tensor auxiliary;     // balance and router z-losses times their factors, over layers by the
                            // profile (paper: summed)
  LossSum cross_entropy;    // with the targets alone, for logs; NLP = -mean()
  LossSum soft;             // with the teacher's probabilities; empty without a teacher
  LossSum logit_z;          // (log Z)^2 over real targets
  LossSum correct;          // targets predicted by argmax
  double balance_loss = 0;  // the balance part of `auxiliary`
  double router_z_loss = 0;
  std::vector<RoutingStats> routing;  // one per routed layer in the order of the forward pass
};

class EncoderDecoder {
 public:
  /// Allocates the parameters; call parameters().initialize(seed) or load them. With a `mesh`,
  /// which must outlive the model, this rank's part of them: forward and backward passes are then
  /// collective over the ranks along `expert` and `model`. Throws Error(kUsage) if the model cannot
  /// be shared out so.
  EncoderDecoder(const ModelConfig& config, Precision precision, at::Device device = at::kCPU,
                 const Mesh* mesh = nullptr);
  ~EncoderDecoder();
  EncoderDecoder(const EncoderDecoder&) = delete;
  EncoderDecoder& operator=(const EncoderDecoder&) = delete;

  /// Losses over a batch. Call `(output.loss_sum / n + output.auxiliary).backward()` for gradients.
  ModelOutput forward(const Batch& batch, const ForwardOptions& options);

  /// For decoding and scoring. Hidden states are after the final norm.
  at::Tensor encode(const Batch& batch, const ForwardOptions& options);  // [B, S, D]
  at::Tensor decode(const Batch& batch, const at::Tensor& encoder_hidden,
                    const ForwardOptions& options);  // [B, T, D]
  at::Tensor logits(const at::Tensor& hidden);       // [..., D] -> [..., V], float32
  /// logits = output_scale() * hidden output_table()^T.
  Parameter& output_table();  // [V, D]
  double output_scale() const;

  const ModelConfig& config() const;
  ParameterSet& parameters();
  const ParameterSet& parameters() const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace switchyard
