// Model configuration: one struct, one field list (base/field_list.h) for parsing, help, validation
// and saving. Covers T5 1.0 (ReLU, tied) and 1.1 (GEGLU, untied), dense and with experts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/field_list.h"

namespace switchyard {

struct MoeConfig {
  int64_t num_experts = 8;  // 0: dense
  int64_t sparse_every = 2;
  std::string encoder_layers, decoder_layers;  // explicit placement, "1,3,5"; "" = sparse_every
  std::string router = "switch";
  std::string profile = "paper";
  std::string capacity = "profile";
  double capacity_factor_train = 1.25;
  double capacity_factor_eval = 2.0;
  int64_t min_capacity = 4;
  int64_t expert_capacity = 64;
  int64_t group_sequences = 16;
  bool batch_prioritized = false;
  std::string second_choice = "random";
  double second_threshold = 0.2;
  int64_t ntlb_top_k = 4;
  std::string hash = "balanced";
  std::string gate = "probability";
  double balance_loss = 0.01;
  double z_loss = 0.0;
  std::string exploration = "jitter";
  double jitter = 0.01;
  double sample_temperature = 1.0;
  double input_dropout = 0.1;
  double expert_dropout = 0.0;
  double router_init_scale = 0.0;  // of routers; 0: model.init_scale
  std::string attention_experts = "none";
  std::string attention_encoder_layers, attention_decoder_layers;  // as encoder_layers
  int64_t attention_d_ff = 0;                                      // 0: model.d_ff

  void list_fields(FieldList& fields);
};

struct ModelConfig {
  int64_t d_model = 256;
  int64_t d_ff = 1024;
  int64_t d_kv = 32;
  int64_t num_heads = 8;
  int64_t num_encoder_layers = 4;
  int64_t num_decoder_layers = 4;
  int64_t vocab_size = 8192;
  std::string feed_forward = "relu";
  bool tie_embeddings = true;
  double dropout = 0.0;
  double init_scale = 0.1;
  int64_t relative_buckets = 32;
  int64_t relative_max_distance = 128;
  double norm_epsilon = 1e-6;
  MoeConfig moe;

  void list_fields(FieldList& fields);

  bool gated() const { return feed_forward == "geglu"; }
  int64_t inner_size() const { return num_heads * d_kv; }  // H * K
  /// For each block of the stack, whether its feed-forward has experts. Block l is sparse iff
  /// l mod sparse_every == sparse_every - 1, unless the layers are listed.
  std::vector<bool> sparse_encoder_layers() const;
  std::vector<bool> sparse_decoder_layers() const;
  /// The same for its self-attention, whose queries, keys and values experts make (paper
  /// appendix A).
  std::vector<bool> expert_attention_encoder_layers() const;
  std::vector<bool> expert_attention_decoder_layers() const;
  /// Inner width of an attention expert; 0: one linear map.
  int64_t attention_hidden() const;
  /// Checks what single ranges cannot: placements inside the stack, routers that need an encoder.
  /// Throws Error(kUsage).
  void validate(const std::string& where) const;
};

/// Arithmetic of a run. Master weights are float32 in all of them.
enum class Precision {
  kFloat32,
  kBfloat16Selective,  // bfloat16 activations and copies, float32 router, softmax, losses
  kBfloat16,           // the router in bfloat16 too: exists to show why not (paper table 2)
  kFloat64,            // gradient tests only
};
/// "fp32", "bf16-selective", "bf16". Throws Error(kUsage) for anything else.
Precision parse_precision(const std::string& name);

}  // namespace switchyard
