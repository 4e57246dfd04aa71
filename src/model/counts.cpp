#include "model/counts.h"

#include <algorithm>

#include "model/moe/attention_experts.h"
#include "model/moe/router.h"
#include "model/moe/routing_stats.h"

namespace switchyard {
namespace {

// A matrix [O, I] holds O * I weights and costs a token 2 * O * I FLOPs: both are counted from
// the weights.

/// One feed-forward or expert.
int64_t feed_forward_weights(const ModelConfig& c) {
  return (c.gated() ? 3 : 2) * c.d_model * c.d_ff;
}

/// One expert of self-attention: queries, and keys that are values too.
int64_t attention_expert_weights(const ModelConfig& c) {
  const int64_t hidden = c.attention_hidden();
  if (hidden == 0) return 2 * c.d_model * c.inner_size();
  return hidden * ((c.gated() ? 2 : 1) * c.d_model + 2 * c.inner_size());
}

int64_t stack_parameters(const ModelConfig& c, const std::vector<bool>& attention_experts,
                         const std::vector<bool>& sparse, bool decoder) {
  const int64_t projection = c.d_model * c.inner_size();
  const int64_t router = router_kind(c.moe).learned ? c.d_model : 0;  // per expert
  const int64_t experts = c.moe.num_experts;
  int64_t total = c.relative_buckets * c.num_heads + c.d_model;  // bias of block 0, final norm
  for (size_t i = 0; i < sparse.size(); ++i) {
    total += projection + c.d_model;
    total +=
        attention_experts[i] ? experts * (attention_expert_weights(c) + router) : 3 * projection;
    if (decoder) total += 4 * projection + c.d_model;
    total += c.d_model +
             (sparse[i] ? experts * (feed_forward_weights(c) + router) : feed_forward_weights(c));
  }
  return total;
}

/// Experts that a token takes in training, at most: as many as it chooses or as capacity has room
/// for. Of expert choice exactly those, on average.
double experts_per_token(const MoeConfig& moe) {
  if (moe.router == "expert_choice") return moe.capacity_factor_train;
  if (moe.router != "top2") return 1;
  const bool by_factor = moe.capacity == "profile" || moe.capacity == "factor";
  return by_factor ? std::min(2.0, moe.capacity_factor_train) : 2.0;
}

/// FLOPs of a token that the routed blocks of a stack cost beyond what dense ones would.
double experts_flops(const ModelConfig& c, const std::vector<bool>& sparse,
                     const std::vector<bool>& attention_experts) {
  const auto count = [](const std::vector<bool>& blocks) {
    return static_cast<double>(std::count(blocks.begin(), blocks.end(), true));
  };
  const double experts = experts_per_token(c.moe);
  const double more = (experts - 1) * static_cast<double>(feed_forward_weights(c));
  const double in_attention = experts * static_cast<double>(attention_expert_weights(c)) -
                              static_cast<double>(3 * c.d_model * c.inner_size());
  return 2 * (count(sparse) * more + count(attention_experts) * in_attention);
}

}  // namespace

int64_t count_parameters(const ModelConfig& config) {
  const int64_t embedding = config.vocab_size * config.d_model;
  return embedding * (config.tie_embeddings ? 1 : 2) +
         stack_parameters(config, config.expert_attention_encoder_layers(),
                          config.sparse_encoder_layers(), false) +
         stack_parameters(config, config.expert_attention_decoder_layers(),
                          config.sparse_decoder_layers(), true);
}

double dropped_flops(const ModelConfig& config, const std::vector<RoutingStats>& routing) {
  if (config.moe.router == "expert_choice") return 0;  // its experts are always full
  double flops = 0;
  for (const RoutingStats& layer : routing) {
    const int64_t weights = is_attention_layer(layer.layer) ? attention_expert_weights(config)
                                                            : feed_forward_weights(config);
    flops += 2.0 * static_cast<double>(weights) * layer.dropped * experts_per_token(config.moe);
  }
  return flops;
}

double forward_flops(const ModelConfig& config, int64_t encoder_length, int64_t decoder_length) {
  const auto s = static_cast<double>(encoder_length), t = static_cast<double>(decoder_length);
  const auto d = static_cast<double>(config.d_model);
  const auto inner = static_cast<double>(config.inner_size());
  const double feed_forward = 2.0 * static_cast<double>(feed_forward_weights(config));
  // Kaplan counting, which reproduces the paper's table 9: one product of attention per key, and
  // cross-attention projects keys and values for t positions instead of s.
  const double encoder = s * (8 * d * inner + feed_forward + 2 * s * inner);
  const double decoder = t * (16 * d * inner + feed_forward + 2 * t * inner + 2 * s * inner);
  return static_cast<double>(config.num_encoder_layers) * encoder +
         static_cast<double>(config.num_decoder_layers) * decoder +
         s * experts_flops(config, config.sparse_encoder_layers(),
                           config.expert_attention_encoder_layers()) +
         t * experts_flops(config, config.sparse_decoder_layers(),
                           config.expert_attention_decoder_layers()) +
         2 * static_cast<double>(config.vocab_size) * d * t;
}

double training_flops(const ModelConfig& config, int64_t encoder_length, int64_t decoder_length,
                      double sequences, double saved_forward_flops) {
  return 3.0 *
         (forward_flops(config, encoder_length, decoder_length) * sequences - saved_forward_flops);
}

}  // namespace switchyard
