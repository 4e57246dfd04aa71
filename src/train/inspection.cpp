#include "train/inspection.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/format.h"
#include "checkpoint/file_manifest.h"
#include "data/prepared_data.h"
#include "model/counts.h"
#include "model/model_directory.h"
#include "train/checkpoint.h"
#include "train/recipe.h"
#include "train/run_directory.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using Report = nlohmann::ordered_json;

Report blocks(const std::vector<bool>& sparse) {
  Report list = Report::array();
  for (size_t i = 0; i < sparse.size(); ++i) {
    if (sparse[i]) list.push_back(i);
  }
  return list;
}

void add_config(const ModelDescription& description, Report& report) {
  const ModelConfig& config = description.config;
  report["parameters"] = count_parameters(config);
  report["encoder_layers"] = config.num_encoder_layers;
  report["decoder_layers"] = config.num_decoder_layers;
  report["d_model"] = config.d_model;
  report["d_ff"] = config.d_ff;
  report["heads"] = config.num_heads;
  report["d_kv"] = config.d_kv;
  report["vocab_size"] = config.vocab_size;
  report["feed_forward"] = config.feed_forward;
  report["tied_embeddings"] = config.tie_embeddings;
  report["experts"] = config.moe.num_experts;
  if (config.moe.num_experts > 0) {
    report["routed_encoder_blocks"] = blocks(config.sparse_encoder_layers());
    report["routed_decoder_blocks"] = blocks(config.sparse_decoder_layers());
    if (config.moe.attention_experts != "none") {
      report["attention_experts"] = config.moe.attention_experts;
      report["attention_expert_encoder_blocks"] = blocks(config.expert_attention_encoder_layers());
      report["attention_expert_decoder_blocks"] = blocks(config.expert_attention_decoder_layers());
    }
    report["router"] = config.moe.router;
    report["profile"] = config.moe.profile;
  }
  report["transformers_can_load"] =
      fits_hugging_face(config) && description.quantization == Quantization::kNone;
}

void add_weights(const TensorFiles& files, bool list, Report& report) {
  uint64_t bytes = 0;
  std::map<std::string, uint64_t> types;
  Report tensors = Report::array();
  for (const auto& [name, stored] : files.tensors()) {
    const TensorSpec& spec = stored.spec();
    bytes += stored.data().size();
    ++types[dtype_name(spec.dtype)];
    if (list) {
      tensors.push_back({{"name", name}, {"dtype", dtype_name(spec.dtype)}, {"shape", spec.shape}});
    }
  }
  report["stored_tensors"] = files.tensors().size();
  report["stored_types"] = types;
  report["weight_bytes"] = bytes;
  if (list) report["tensors"] = tensors;
}

std::string verified_text(bool checkpoint, Quantization quantization) {
  if (checkpoint) return "all checksums, all weights finite";
  const std::string scales = quantization == Quantization::kNone ? "" : ", all scales above zero";
  return format("headers, all weights finite{}; there are no checksums", scales);
}

Report inspect_model(const std::string& directory, const InspectOptions& options) {
  const bool checkpoint = has_file_manifest(directory);
  if (checkpoint && options.verify) verify_files(directory);
  check_model_directory(directory);
  if (options.verify) verify_weights(directory);
  const ModelDescription description = read_model_description(directory);
  Report report = {{"kind", checkpoint ? "checkpoint" : "model"}, {"path", directory}};
  report["dtype"] = torch_dtype_name(description.dtype);
  report["quantization"] = quantization_name(description.quantization);
  add_config(description, report);
  add_weights(TensorFiles(directory), options.tensors, report);
  report["tokenizer"] = fs::exists(directory + "/" + kTokenizerFile);
  if (checkpoint) {
    const TrainPosition position = read_position(directory);
    report["step"] = position.step;
    report["tokens"] = position.tokens;
    report["seconds"] = position.seconds;
  }
  if (options.verify) {
    report["verified"] = verified_text(checkpoint, description.quantization);
  }
  return report;
}

Report inspect_run(const std::string& directory, const InspectOptions& options) {
  const Recipe recipe = load_run_recipe(directory + "/recipe.toml");
  const std::vector<int64_t> steps = list_checkpoints(directory);
  Report report = {{"kind", "run"},
                   {"path", directory},
                   {"objective", recipe.objective.kind},
                   {"optimizer", recipe.optimizer.kind},
                   {"precision", recipe.train.precision},
                   {"steps_wanted", recipe.train.steps},
                   {"checkpoints", steps}};
  if (options.verify) {
    for (const int64_t step : steps) verify_files(checkpoint_path(directory, step));
    report["verified"] = "all checksums";
  }
  if (steps.empty()) return report;
  report["newest"] =
      inspect_model(checkpoint_path(directory, steps.back()), {.tensors = options.tensors});
  return report;
}

Report inspect_data(const std::string& folder, const InspectOptions& options) {
  const PreparedData data(folder);
  if (options.verify) data.verify();
  const Manifest& manifest = data.manifest();
  Report report = {{"kind", "prepared data"},
                   {"path", folder},
                   {"split", manifest.split},
                   {"tokens", manifest.tokens},
                   {"documents", manifest.documents},
                   {"vocab_size", manifest.vocab_size},
                   {"tokenizer_hash", manifest.tokenizer_hash},
                   {"token_bytes", manifest.token_bytes},
                   {"shards", manifest.shards.size()},
                   {"sources", manifest.sources}};
  if (options.verify) report["verified"] = "all checksums, offsets and ids";
  return report;
}

}  // namespace

Report inspect(const std::string& path, const InspectOptions& options) {
  const auto holds = [&](const std::string& name) { return fs::exists(path + "/" + name); };
  if (!fs::exists(path)) throw usage_error("no such directory", path, "check the path");
  if (holds(kConfigFile)) return inspect_model(path, options);
  if (holds("recipe.toml")) return inspect_run(path, options);
  if (holds(Manifest::kFileName)) return inspect_data(path, options);
  if (holds(std::string("train/") + Manifest::kFileName)) {
    Report report = {{"kind", "prepared data"}, {"path", path}};
    for (const char* split : {"train", "validation"}) {
      if (holds(std::string(split) + "/" + Manifest::kFileName)) {
        report[split] = inspect_data(path + "/" + split, options);
      }
    }
    return report;
  }
  throw usage_error("neither a model, a run nor prepared data", path,
                    "name a directory with config.json, recipe.toml or dataset.json");
}

}  // namespace switchyard
