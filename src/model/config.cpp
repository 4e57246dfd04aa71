#include "model/config.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <sstream>

#include "base/error.h"
#include "base/format.h"
#include "model/moe/router.h"
#include "model/moe/routing_checks.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 24;

// "1,3,5" -> {1, 3, 5}; throws with the key's name.
std::vector<int64_t> parse_layers(const std::string& text, int64_t num_layers,
                                  const std::string& key) {
  std::vector<int64_t> layers;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    int64_t layer = -1;
    const auto [end, code] = std::from_chars(part.data(), part.data() + part.size(), layer);
    if (code != std::errc() || end != part.data() + part.size() || layer < 0 ||
        layer >= num_layers) {
      throw usage_error(format("'{}' is no block of this stack", part), key,
                        format("list blocks from 0 to {}, as in \"1,3\"", num_layers - 1));
    }
    layers.push_back(layer);
  }
  return layers;
}

std::vector<bool> placement(const MoeConfig& moe, const std::string& listed, int64_t num_layers,
                            const std::string& key) {
  std::vector<bool> sparse(static_cast<size_t>(num_layers), false);
  if (moe.num_experts == 0 || listed == "none") return sparse;
  if (!listed.empty()) {
    for (const int64_t layer : parse_layers(listed, num_layers, key)) {
      sparse[static_cast<size_t>(layer)] = true;
    }
    return sparse;
  }
  for (int64_t layer = moe.sparse_every - 1; layer < num_layers; layer += moe.sparse_every) {
    sparse[static_cast<size_t>(layer)] = true;
  }
  return sparse;
}

std::string attention_blocks(const MoeConfig& moe, const std::string& listed) {
  return moe.attention_experts == "none" ? "none" : listed;
}

}  // namespace

void MoeConfig::list_fields(FieldList& f) {
  f.integer("num_experts", &num_experts, 0, 1 << 20, "experts per routed layer; 0: a dense model");
  f.integer("sparse_every", &sparse_every, 1, 1 << 20,
            "every n-th block's feed-forward has experts; 1: all of them");
  f.text("encoder_layers", &encoder_layers,
         "routed encoder blocks, as \"1,3,5\" or \"none\"; empty: by sparse_every");
  f.text("decoder_layers", &decoder_layers, "the same for the decoder");
  std::vector<std::string> routers;
  for (const RouterKind& kind : router_kinds()) routers.push_back(kind.name);
  f.choice("router", &router, routers, "how tokens and experts find each other");
  f.choice("profile", &profile, {"paper", "mesh", "t5x", "hf"},
           "whose rules hold where systems differ (docs/routers.md)");
  f.choice("capacity", &capacity, {"profile", "factor", "absolute", "dropless"},
           "room per expert: the profile's rule, a factor of the even share, expert_capacity, all");
  f.number("capacity_factor_train", &capacity_factor_train, 1e-3, 1e6,
           "room per expert in training, times the even share of a routing group");
  f.number("capacity_factor_eval", &capacity_factor_eval, 1e-3, 1e6, "the same in evaluation");
  f.integer("min_capacity", &min_capacity, 1, kMaxSize, "least room per expert, tokens");
  f.integer("expert_capacity", &expert_capacity, 1, kMaxSize,
            "room per expert where capacity is absolute, tokens");
  f.integer("group_sequences", &group_sequences, 1, kMaxSize,
            "sequences that share one capacity: a fixed slice of the global batch");
  f.flag("batch_prioritized", &batch_prioritized,
         "the most confident tokens are placed first; encoder only");
  f.choice("second_choice", &second_choice, {"all", "none", "threshold", "random"},
           "top2: when the second expert is used");
  f.number("second_threshold", &second_threshold, 1e-9, 1, "top2: gate that is surely enough");
  f.integer("ntlb_top_k", &ntlb_top_k, 1, 1 << 20, "ntlb: experts that a token tries");
  f.choice("hash", &hash, {"balanced", "plain"},
           "hash: equally many ids per expert, or as it falls");
  f.choice(
      "gate", &gate, {"probability", "normalized", "straight_through"},
      "what an expert's output is multiplied by: p; p over the sum of p of the token's experts; "
      "the same with a gradient as if that sum were fixed");
  f.number("balance_loss", &balance_loss, 0, 1e3, "factor of the load-balancing loss (alpha)");
  f.number("z_loss", &z_loss, 0, 1e3, "factor of the router z-loss");
  f.choice("exploration", &exploration, {"jitter", "argmax", "sample", "input_dropout"},
           "how training tries other experts; argmax: not at all");
  f.number("jitter", &jitter, 0, 0.5, "jitter: router input times U(1 - jitter, 1 + jitter)");
  f.number("sample_temperature", &sample_temperature, 1e-3, 1e3,
           "sample: of the softmax that the expert is drawn from");
  f.number("input_dropout", &input_dropout, 0, 0.99, "input_dropout: dropout of the router input");
  f.number("expert_dropout", &expert_dropout, 0, 0.99, "dropout inside experts, after the ReLU");
  f.number("router_init_scale", &router_init_scale, 0, 1e4,
           "init_scale of routers; large: clear choices from the start; 0: model.init_scale");
  f.choice("attention_experts", &attention_experts, {"none", "feed_forward", "linear"},
           "experts that make self-attention's queries, keys and values; prefer precision fp32");
  f.text("attention_encoder_layers", &attention_encoder_layers,
         "encoder blocks with attention experts, as \"1,3,5\" or \"none\"; empty: by sparse_every");
  f.text("attention_decoder_layers", &attention_decoder_layers, "the same for the decoder");
  f.integer("attention_d_ff", &attention_d_ff, 0, kMaxSize,
            "inner width of attention_experts = \"feed_forward\"; 0: model.d_ff");
}

void ModelConfig::list_fields(FieldList& f) {
  f.integer("d_model", &d_model, 1, kMaxSize, "width of the residual stream");
  f.integer("d_ff", &d_ff, 1, kMaxSize, "inner width of a feed-forward, of each expert too");
  f.integer("d_kv", &d_kv, 1, kMaxSize, "width of one attention head");
  f.integer("num_heads", &num_heads, 1, 1 << 16, "attention heads");
  f.integer("num_encoder_layers", &num_encoder_layers, 1, 1 << 16, "encoder blocks");
  f.integer("num_decoder_layers", &num_decoder_layers, 1, 1 << 16, "decoder blocks");
  f.integer("vocab_size", &vocab_size, 3, int64_t{1} << 31, "rows of the embedding");
  f.choice("feed_forward", &feed_forward, {"relu", "geglu"}, "activation; geglu: T5 1.1");
  f.flag("tie_embeddings", &tie_embeddings, "output layer = embedding (T5 1.0)");
  f.number("dropout", &dropout, 0, 0.99, "dropout of sublayers, embeddings and feed-forwards");
  f.number("init_scale", &init_scale, 1e-6, 1e3,
           "s of sigma = sqrt(s / fan_in) for feed-forwards, experts and routers");
  f.integer("relative_buckets", &relative_buckets, 4, 1 << 16, "relative position buckets");
  f.integer("relative_max_distance", &relative_max_distance, 2, 1 << 24,
            "distance from which all positions share a bucket");
  f.number("norm_epsilon", &norm_epsilon, 0, 1, "added to the mean square in norms");
  f.section("moe", moe);
}

std::vector<bool> ModelConfig::sparse_encoder_layers() const {
  return placement(moe, moe.encoder_layers, num_encoder_layers, "model.moe.encoder_layers");
}

std::vector<bool> ModelConfig::sparse_decoder_layers() const {
  return placement(moe, moe.decoder_layers, num_decoder_layers, "model.moe.decoder_layers");
}

std::vector<bool> ModelConfig::expert_attention_encoder_layers() const {
  return placement(moe, attention_blocks(moe, moe.attention_encoder_layers), num_encoder_layers,
                   "model.moe.attention_encoder_layers");
}

std::vector<bool> ModelConfig::expert_attention_decoder_layers() const {
  return placement(moe, attention_blocks(moe, moe.attention_decoder_layers), num_decoder_layers,
                   "model.moe.attention_decoder_layers");
}

int64_t ModelConfig::attention_hidden() const {
  if (moe.attention_experts != "feed_forward") return 0;
  return moe.attention_d_ff > 0 ? moe.attention_d_ff : d_ff;
}

void ModelConfig::validate(const std::string& where) const {
  const auto any = [](const std::vector<bool>& v) {
    return std::find(v.begin(), v.end(), true) != v.end();
  };
  // All four are read: each may name a block that is not there.
  const bool encoder = any(sparse_encoder_layers()), decoder = any(sparse_decoder_layers());
  const bool encoder_attention = any(expert_attention_encoder_layers());
  const bool decoder_attention = any(expert_attention_decoder_layers());
  const bool attention = encoder_attention || decoder_attention;
  if (moe.num_experts > 0 && moe.attention_experts != "none" && !attention) {
    throw usage_error("model.moe.attention_experts is set but no block's attention has experts",
                      where,
                      "list blocks in model.moe.attention_encoder_layers, or set it to none");
  }
  if (moe.num_experts > 0 && !attention && !encoder && !decoder) {
    throw usage_error("model.moe.num_experts is set but no block is routed", where,
                      "lower model.moe.sparse_every, list blocks, or set num_experts = 0");
  }
  if (relative_max_distance <= relative_buckets / 2) {
    throw usage_error("model.relative_max_distance leaves no far buckets", where,
                      format("give more than {}", relative_buckets / 2));
  }
  if (moe.num_experts > 0) check_routing(moe, decoder || decoder_attention, where);
}

Precision parse_precision(const std::string& name) {
  if (name == "fp32") return Precision::kFloat32;
  if (name == "bf16-selective") return Precision::kBfloat16Selective;
  if (name == "bf16") return Precision::kBfloat16;
  throw usage_error(format("precision \"{}\" is not known", name), "train.precision",
                    "choose one of: bf16-selective, bf16, fp32");
}

}  // namespace switchyard
