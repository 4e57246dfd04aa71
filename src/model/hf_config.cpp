#include "model/hf_config.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "base/json.h"
#include "base/log.h"

namespace switchyard {
namespace {

using nlohmann::json;

constexpr const char* kOwnKey = "switchyard";
constexpr const char* kSwitch = "switch_transformers";
constexpr int64_t kMaxSize = int64_t{1} << 24;
constexpr int64_t kMaxLayers = 1 << 16;
constexpr int64_t kAbsent = -1;
// transformers counts an expert's places per sequence, whatever its length: enough for all.
constexpr int64_t kNeverFull = 1 << 20;

/// Hugging Face's keys, with the defaults of its configuration classes. Sizes have none here: all
/// directories state them.
struct HfConfig {
  std::string model_type;
  int64_t vocab_size = kAbsent, d_model = kAbsent, d_kv = kAbsent, d_ff = kAbsent;
  int64_t num_layers = kAbsent, num_decoder_layers = kAbsent, num_heads = kAbsent;
  int64_t relative_attention_num_buckets = 32, relative_attention_max_distance = 128;
  double dropout_rate = 0.1, layer_norm_epsilon = 1e-6;
  std::string feed_forward_proj = "relu", dense_act_fn;
  bool tie_word_embeddings = true;
  std::string dtype, torch_dtype;
  // Switch
  int64_t num_experts = 8, expert_capacity = 64;
  int64_t num_sparse_encoder_layers = 3, num_sparse_decoder_layers = 3;
  int64_t encoder_sparse_step = kAbsent, decoder_sparse_step = kAbsent;
  bool router_bias = false;
  std::string router_dtype = "float32";
  double router_jitter_noise = 0.01, router_z_loss_coef = 0.001, router_aux_loss_coef = 0.001;

  bool sparse() const { return model_type == kSwitch; }
  void list_fields(FieldList& f) {
    f.text("model_type", &model_type, "");
    f.integer("vocab_size", &vocab_size, 3, int64_t{1} << 31, "");
    f.integer("d_model", &d_model, 1, kMaxSize, "");
    f.integer("d_kv", &d_kv, 1, kMaxSize, "");
    f.integer("d_ff", &d_ff, 1, kMaxSize, "");
    f.integer("num_layers", &num_layers, 1, kMaxLayers, "");
    f.integer("num_decoder_layers", &num_decoder_layers, 1, kMaxLayers, "");
    f.integer("num_heads", &num_heads, 1, 1 << 16, "");
    f.integer("relative_attention_num_buckets", &relative_attention_num_buckets, 4, 1 << 16, "");
    f.integer("relative_attention_max_distance", &relative_attention_max_distance, 2, 1 << 24, "");
    f.number("dropout_rate", &dropout_rate, 0, 0.99, "");
    f.number("layer_norm_epsilon", &layer_norm_epsilon, 0, 1, "");
    f.text("feed_forward_proj", &feed_forward_proj, "");
    f.text("dense_act_fn", &dense_act_fn, "");
    f.flag("tie_word_embeddings", &tie_word_embeddings, "");
    f.text("dtype", &dtype, "");
    f.text("torch_dtype", &torch_dtype, "");
    if (!sparse()) return;
    f.integer("num_experts", &num_experts, 1, 1 << 20, "");
    f.integer("expert_capacity", &expert_capacity, 1, kMaxSize, "");
    f.integer("num_sparse_encoder_layers", &num_sparse_encoder_layers, 0, kMaxLayers, "");
    f.integer("num_sparse_decoder_layers", &num_sparse_decoder_layers, 0, kMaxLayers, "");
    f.integer("encoder_sparse_step", &encoder_sparse_step, 0, kMaxLayers, "");
    f.integer("decoder_sparse_step", &decoder_sparse_step, 0, kMaxLayers, "");
    f.flag("router_bias", &router_bias, "");
    f.text("router_dtype", &router_dtype, "");
    f.number("router_jitter_noise", &router_jitter_noise, 0, 0.5, "");
    f.number("router_z_loss_coef", &router_z_loss_coef, 0, 1e3, "");
    f.number("router_aux_loss_coef", &router_aux_loss_coef, 0, 1e3, "");
  }
};

/// Blocks that transformers makes sparse: all, or those with index 1 modulo the step.
std::vector<bool> blocks_of_step(int64_t step, int64_t num_layers) {
  std::vector<bool> sparse(static_cast<size_t>(num_layers), false);
  for (int64_t i = 0; step > 0 && i < num_layers; ++i) {
    sparse[static_cast<size_t>(i)] = step == 1 || i % step == 1;
  }
  return sparse;
}

int64_t num_sparse(const std::vector<bool>& sparse) {
  return std::count(sparse.begin(), sparse.end(), true);
}

// No sparse layers means a step of num_layers there, which makes block 1 sparse all the same.
int64_t default_step(int64_t num_layers, int64_t sparse_layers) {
  return sparse_layers > 0 ? num_layers / sparse_layers : num_layers;
}

/// The step that gives `sparse`, or kAbsent if none does.
int64_t step_of(const std::vector<bool>& sparse) {
  const auto layers = static_cast<int64_t>(sparse.size());
  // Above 1 a step is the distance from block 1 to the next, or, if there is no next, leads beyond
  // the stack. Trying all steps would take minutes for the most layers that a config.json may ask
  // for.
  const auto first = std::find(sparse.begin(), sparse.end(), true);
  const auto next = first == sparse.end() ? first : std::find(first + 1, sparse.end(), true);
  const int64_t distance =
      next == sparse.end() ? std::max<int64_t>(layers - 1, 2) : std::distance(first, next);
  for (const int64_t step : {int64_t{0}, int64_t{1}, distance}) {
    if (blocks_of_step(step, layers) == sparse) return step;
  }
  return kAbsent;
}

std::string layer_list(const std::vector<bool>& sparse) {
  std::string text;
  for (size_t i = 0; i < sparse.size(); ++i) {
    if (sparse[i]) text += format("{}{}", text.empty() ? "" : ",", i);
  }
  return text.empty() ? "none" : text;
}

void place_experts(const HfConfig& hf, ModelConfig& config) {
  const int64_t encoder_step = hf.encoder_sparse_step != kAbsent
                                   ? hf.encoder_sparse_step
                                   : default_step(hf.num_layers, hf.num_sparse_encoder_layers);
  const int64_t decoder_step =
      hf.decoder_sparse_step != kAbsent
          ? hf.decoder_sparse_step
          : default_step(config.num_decoder_layers, hf.num_sparse_decoder_layers);
  MoeConfig& moe = config.moe;
  if (encoder_step == decoder_step && (encoder_step == 1 || encoder_step == 2)) {
    moe.sparse_every = encoder_step;  // the same rule as ours
  } else {
    moe.encoder_layers = layer_list(blocks_of_step(encoder_step, config.num_encoder_layers));
    moe.decoder_layers = layer_list(blocks_of_step(decoder_step, config.num_decoder_layers));
  }
  moe.num_experts = hf.num_experts;
  if (num_sparse(config.sparse_encoder_layers()) + num_sparse(config.sparse_decoder_layers()) ==
      0) {
    moe.num_experts = 0;
  }
}

std::string feed_forward_of(const HfConfig& hf, const std::string& path) {
  const std::string& act = hf.dense_act_fn;
  if (hf.feed_forward_proj == "relu" && (act.empty() || act == "relu")) return "relu";
  if (hf.feed_forward_proj == "gated-gelu" && (act.empty() || act == "gelu_new")) return "geglu";
  const bool by_act = hf.feed_forward_proj == "relu" || hf.feed_forward_proj == "gated-gelu";
  throw usage_error(
      format("{} = \"{:.80}\" is not supported", by_act ? "dense_act_fn" : "feed_forward_proj",
             by_act ? act : hf.feed_forward_proj),
      path, "feed-forwards are relu (T5 1.0, Switch) or gated-gelu (T5 1.1, mT5)");
}

ModelConfig config_of(const HfConfig& hf, const std::string& path) {
  ModelConfig config;
  config.d_model = hf.d_model;
  config.d_ff = hf.d_ff;
  config.d_kv = hf.d_kv;
  config.num_heads = hf.num_heads;
  config.num_encoder_layers = hf.num_layers;
  config.num_decoder_layers =
      hf.num_decoder_layers == kAbsent ? hf.num_layers : hf.num_decoder_layers;
  config.vocab_size = hf.vocab_size;
  config.feed_forward = feed_forward_of(hf, path);
  config.tie_embeddings = hf.tie_word_embeddings;
  config.dropout = hf.dropout_rate;
  config.relative_buckets = hf.relative_attention_num_buckets;
  config.relative_max_distance = hf.relative_attention_max_distance;
  config.norm_epsilon = hf.layer_norm_epsilon;
  config.moe.num_experts = 0;
  config.moe.profile = "hf";
  if (!hf.sparse()) return config;
  place_experts(hf, config);
  config.moe.expert_capacity = hf.expert_capacity;
  config.moe.balance_loss = hf.router_aux_loss_coef;
  config.moe.z_loss = hf.router_z_loss_coef;
  config.moe.jitter = hf.router_jitter_noise;
  config.moe.expert_dropout = hf.dropout_rate;
  if (hf.router_bias) {
    throw usage_error("router_bias = true is not supported", path, "no published model has one");
  }
  if (hf.router_dtype != "float32") {
    log_warning("{}: router_dtype = \"{:.40}\": routers are float32 here", path, hf.router_dtype);
  }
  return config;
}

HfConfig hf_config_of(const ModelConfig& config, DType dtype) {
  HfConfig hf;
  hf.model_type = config.moe.num_experts > 0 ? kSwitch : "t5";
  hf.vocab_size = config.vocab_size;
  hf.d_model = config.d_model;
  hf.d_kv = config.d_kv;
  hf.d_ff = config.d_ff;
  hf.num_layers = config.num_encoder_layers;
  hf.num_decoder_layers = config.num_decoder_layers;
  hf.num_heads = config.num_heads;
  hf.relative_attention_num_buckets = config.relative_buckets;
  hf.relative_attention_max_distance = config.relative_max_distance;
  hf.dropout_rate = config.dropout;
  hf.layer_norm_epsilon = config.norm_epsilon;
  hf.feed_forward_proj = config.gated() ? "gated-gelu" : "relu";
  hf.dense_act_fn = config.gated() ? "gelu_new" : "relu";
  hf.tie_word_embeddings = config.tie_embeddings;
  hf.dtype = hf.torch_dtype = torch_dtype_name(dtype);
  if (!hf.sparse()) return hf;
  const std::vector<bool> encoder = config.sparse_encoder_layers();
  const std::vector<bool> decoder = config.sparse_decoder_layers();
  hf.num_experts = config.moe.num_experts;
  hf.expert_capacity = config.moe.profile == "hf" ? config.moe.expert_capacity : kNeverFull;
  hf.num_sparse_encoder_layers = num_sparse(encoder);
  hf.num_sparse_decoder_layers = num_sparse(decoder);
  // Without a step that fits, the nearest one: transformers will name the tensors that it lacks.
  hf.encoder_sparse_step = std::max<int64_t>(0, step_of(encoder));
  hf.decoder_sparse_step = std::max<int64_t>(0, step_of(decoder));
  hf.router_jitter_noise = config.moe.jitter;
  hf.router_z_loss_coef = config.moe.z_loss;
  hf.router_aux_loss_coef = config.moe.balance_loss;
  return hf;
}

HfConfig read_hf_config(const json& object, const std::string& path) {
  json present = json::object();
  for (const auto& [key, value] : object.items()) {
    if (!value.is_null() && key != kOwnKey) present[key] = value;  // null: the default
  }
  HfConfig hf;
  const json type = present.value("model_type", json());
  if (type != "t5" && type != "mt5" && type != kSwitch) {
    throw usage_error(type.is_string() ? format("model_type = \"{:.80}\" is not supported",
                                                type.get<std::string>())
                                       : "no model_type",
                      path, "models are t5, mt5 or switch_transformers");
  }
  hf.model_type = type.get<std::string>();
  if (hf.model_type == "mt5") {
    hf.feed_forward_proj = "gated-gelu";
    hf.tie_word_embeddings = false;
  }
  FieldList fields;
  hf.list_fields(fields);
  fields.read_json(present, path, /*ignore_unknown=*/true);
  for (const char* key : {"vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads"}) {
    if (!present.contains(key)) throw usage_error(format("no {}", key), path, "add the key");
  }
  return hf;
}

DType dtype_of(const HfConfig& hf, const std::string& path) {
  const std::string& name = hf.dtype.empty() ? hf.torch_dtype : hf.dtype;
  if (name.empty()) return DType::kF32;
  const auto type = parse_torch_dtype(name);
  if (!type) {
    throw usage_error(format("dtype = \"{:.80}\" is not supported", name), path,
                      "weights are float32, bfloat16, float16 or float64");
  }
  return *type;
}

/// Own settings must describe the same tensors as Hugging Face's keys: someone edited one of them.
void check_agreement(const ModelConfig& config, const json& object, const std::string& path) {
  HfConfig expected = hf_config_of(config, DType::kF32);
  FieldList fields;
  expected.list_fields(fields);
  const json ours = fields.to_json();
  for (const char* key :
       {"d_model", "d_ff", "d_kv", "num_heads", "num_layers", "num_decoder_layers", "vocab_size",
        "num_experts", "tie_word_embeddings"}) {
    if (object.contains(key) && ours.contains(key) && object.at(key) != ours.at(key)) {
      throw usage_error(format("{} = {:.40} disagrees with the {} of \"{}\"", key,
                               object.at(key).dump(), ours.at(key).dump(), kOwnKey),
                        path, "make both the same");
    }
  }
}

}  // namespace

ModelDescription parse_model_description(const std::string& text, const std::string& path) {
  const json object = parse_json(text, path);
  if (!object.is_object()) throw damaged_error("a JSON object was expected", path);
  const HfConfig hf = read_hf_config(object, path);
  ModelDescription description;
  description.dtype = dtype_of(hf, path);
  description.quantization = parse_quantization(object, path);
  const auto own = object.find(kOwnKey);
  description.own_settings = own != object.end();
  if (description.own_settings) {
    FieldList fields;
    description.config.list_fields(fields);
    fields.read_json(*own, format("{}, \"{}\"", path, kOwnKey));
    check_agreement(description.config, object, path);
  } else {
    description.config = config_of(hf, path);
  }
  description.config.validate(path);
  return description;
}

std::string model_description_text(const ModelConfig& config, DType dtype) {
  HfConfig hf = hf_config_of(config, dtype);
  FieldList fields;
  hf.list_fields(fields);
  json object = fields.to_json();
  object["architectures"] = {hf.sparse() ? "SwitchTransformersForConditionalGeneration"
                                         : "T5ForConditionalGeneration"};
  object["is_gated_act"] = config.gated();
  object["is_encoder_decoder"] = true;
  object["initializer_factor"] = 1.0;
  object["use_cache"] = true;
  object["pad_token_id"] = 0;
  object["eos_token_id"] = 1;
  object["decoder_start_token_id"] = 0;
  ModelConfig copy = config;
  FieldList own;
  copy.list_fields(own);
  object[kOwnKey] = own.to_json();
  return object.dump(2) + "\n";
}

bool fits_hugging_face(const ModelConfig& config) {
  if (config.moe.num_experts == 0) return true;
  return config.moe.router == "switch" && config.moe.gate == "probability" &&
         config.moe.attention_experts == "none" && !config.gated() &&
         step_of(config.sparse_encoder_layers()) != kAbsent &&
         step_of(config.sparse_decoder_layers()) != kAbsent;
}

}  // namespace switchyard
