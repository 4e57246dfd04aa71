#include "model/counts.h"

#include <algorithm>

#include "model/moe/router.h"

namespace switchyard {
namespace {

int64_t feed_forward_matrices(const ModelConfig& config) { return config.gated() ? 3 : 2; }

int64_t stack_parameters(const ModelConfig& c, const std::vector<bool>& sparse, bool decoder) {
  const int64_t attention = 4 * c.d_model * c.inner_size();
  const int64_t feed_forward = feed_forward_matrices(c) * c.d_model * c.d_ff;
  const int64_t router = router_kind(c.moe).learned ? c.d_model : 0;  // per expert
  int64_t total = c.relative_buckets * c.num_heads + c.d_model;  // bias of block 0, final norm
  for (const bool routed : sparse) {
    total += (decoder ? 2 : 1) * (attention + c.d_model) + c.d_model;
    total += routed ? c.moe.num_experts * (feed_forward + router) : feed_forward;
  }
  return total;
}

}  // namespace

int64_t count_parameters(const ModelConfig& config) {
  const int64_t embedding = config.vocab_size * config.d_model;
  return embedding * (config.tie_embeddings ? 1 : 2) +
         stack_parameters(config, config.sparse_encoder_layers(), false) +
         stack_parameters(config, config.sparse_decoder_layers(), true);
}

double feed_forward_flops(const ModelConfig& config) {
  return 2.0 * static_cast<double>(feed_forward_matrices(config) * config.d_model * config.d_ff);
}

double forward_flops(const ModelConfig& config, int64_t encoder_length, int64_t decoder_length) {
  const auto s = static_cast<double>(encoder_length), t = static_cast<double>(decoder_length);
  const auto d = static_cast<double>(config.d_model);
  const auto inner = static_cast<double>(config.inner_size());
  const double feed_forward = feed_forward_flops(config);
  // Kaplan counting, which reproduces the paper's table 9: one product of attention per key, and
  // cross-attention projects keys and values for t positions instead of s.
  const double encoder = s * (8 * d * inner + feed_forward + 2 * s * inner);
  const double decoder = t * (16 * d * inner + feed_forward + 2 * t * inner + 2 * s * inner);
  return static_cast<double>(config.num_encoder_layers) * encoder +
         static_cast<double>(config.num_decoder_layers) * decoder +
         2 * static_cast<double>(config.vocab_size) * d * t;
}

}  // namespace switchyard
