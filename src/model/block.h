// One block of a stack: self-attention, cross-attention in a decoder, feed-forward. B: sequences,
// S: positions, T: positions of the memory, D: d_model, H: heads.
#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "model/config.h"
#include "model/forward_options.h"
#include "model/layers/attention.h"
#include "model/layers/feed_forward.h"
#include "model/moe/attention_experts.h"
#include "model/moe/moe_layer.h"
#include "model/moe/router_loss_total.h"
#include "model/moe/routing_stats.h"
#include "model/parameter_set.h"

namespace switchyard {

/// What the blocks of one pass through one stack share.
struct Pass {
  ForwardOptions options;
  int64_t first_sequence = 0;
  at::Tensor segments;         // [B, S] of this stack, or undefined
  at::Tensor memory;           // [B, T, D] decoder only: the encoder's output
  at::Tensor memory_segments;  // [B, T] or undefined
  at::Tensor offset_bias;      // [H, 2S - 1], see Block::offset_bias
  at::Tensor ids;              // [B, S] of this stack
};

struct BlockOutput {
  at::Tensor h;                           // [B, S, D]
  std::vector<LayerRouterLosses> losses;  // one per routed layer in the order of the forward pass
  std::vector<RoutingStats> routing;      // likewise
};

/// Which parts of a block have experts.
struct Placement {
  bool attention, feed_forward;
};

/// Each part works on the norm of the residual stream; its result is dropped out and added back.
class Block {
 public:
  /// Creates `stack.block.index.layer.*`. Block 0 also owns the stack's relative position bias.
  Block(ParameterSet& parameters, const std::string& stack, int64_t index,
        const ModelConfig& config, bool decoder, Placement experts);

  /// Pass::offset_bias of a sequence of `length` positions. Of block 0 only.
  at::Tensor offset_bias(int64_t length) const;
  /// h [B, S, D].
  BlockOutput forward(const at::Tensor& h, const Pass& pass) const;

 private:
  AttentionLayer::Masking cross_masking(const Pass& pass, const at::Tensor& h) const;
  RandomStream stream(const Pass& pass, uint64_t place) const;
  at::Tensor add(const at::Tensor& h, const at::Tensor& y, const Pass& pass, uint64_t place) const;
  at::Tensor dense(const at::Tensor& x, const Pass& pass) const;
  at::Tensor attend_to_self(const at::Tensor& x, const Pass& pass, BlockOutput& output) const;
  at::Tensor routed(const at::Tensor& x, const Pass& pass, BlockOutput& output) const;

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

}  // namespace switchyard
