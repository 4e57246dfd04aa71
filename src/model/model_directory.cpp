#include "model/model_directory.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

// Some files of early transformers versions hold a table that no version ever used.
constexpr const char* kSpurious =
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";

std::string config_path(const std::string& directory) { return directory + "/" + kConfigFile; }

std::optional<at::ScalarType> scalar_type(DType type) {
  switch (type) {
    case DType::kF32:
      return at::kFloat;
    case DType::kBF16:
      return at::kBFloat16;
    case DType::kF16:
      return at::kHalf;
    case DType::kF64:
      return at::kDouble;
    default:
      return std::nullopt;
  }
}

bool uses_t5_names(const TensorFiles& files) {
  return std::any_of(files.tensors().begin(), files.tensors().end(), [](const auto& named) {
    return named.first.find(".DenseReluDense.") != std::string::npos;
  });
}

/// A list of faults, the first few by name.
class Faults {
 public:
  void add(const std::string& text) {
    if (count_++ < kShown) text_ += (text_.empty() ? "" : ", ") + text;
  }
  /// "missing a, b, c and 7 more", or "" if there is none.
  std::string list(const std::string& kind) const {
    if (count_ == 0) return "";
    return kind + text_ + (count_ > kShown ? format(" and {} more", count_ - kShown) : "");
  }

 private:
  static constexpr size_t kShown = 3;
  std::string text_;
  size_t count_ = 0;
};

/// A part of a parameter and the stored tensor that fills it.
struct Assignment {
  const Parameter* parameter;
  WeightPart part;
  const StoredTensor* stored;
};

/// Finds the tensor of each part of each parameter; throws with the names of all that do not fit.
std::vector<Assignment> assign(const TensorFiles& files, const EncoderDecoder& model) {
  const ModelConfig& config = model.config();
  const bool t5_names = uses_t5_names(files);
  std::vector<Assignment> assignments;
  std::set<std::string> used = {kSpurious};
  Faults missing, extra, misshapen;
  for (const Parameter& parameter : model.parameters().all()) {
    const std::vector<std::string> aliases = weight_aliases(parameter.name(), config);
    used.insert(aliases.begin(), aliases.end());
    for (WeightPart& part : weight_parts(parameter, config.gated(), t5_names)) {
      used.insert(part.name);
      const StoredTensor* stored = files.find(part.name);
      for (size_t i = 0; !stored && i < aliases.size(); ++i) stored = files.find(aliases[i]);
      if (!stored) {
        missing.add(part.name);
      } else if (stored->spec().shape != part.shape) {
        misshapen.add(format("{} {} instead of {}", stored->spec().name,
                             shape_text(stored->spec().shape), shape_text(part.shape)));
      } else if (!scalar_type(stored->spec().dtype)) {
        misshapen.add(
            format("{} of type {}", stored->spec().name, dtype_name(stored->spec().dtype)));
      } else {
        assignments.push_back({&parameter, std::move(part), stored});
      }
    }
  }
  for (const auto& [name, stored] : files.tensors()) {
    if (!used.contains(name)) extra.add(format("{:.120}", name));
  }
  std::string what;
  for (const std::string& list :
       {missing.list("missing "), misshapen.list("wrong: "), extra.list("not of this model: ")}) {
    if (!list.empty()) what += (what.empty() ? "" : "; ") + list;
  }
  if (!what.empty()) {
    throw damaged_error("the weights do not fit config.json: " + what, files.directory(),
                        "take config.json and weights from the same model");
  }
  return assignments;
}

/// Refuses a config.json that asks for far more than the files hold before anything is built from
/// it: in floating point, since a hostile one may ask for any number. Smaller differences are told
/// tensor by tensor later.
void check_size(const ModelConfig& config, const TensorFiles& files) {
  const auto layers = static_cast<double>(config.num_encoder_layers + config.num_decoder_layers);
  const auto experts = static_cast<double>(config.moe.num_experts);
  const auto d = static_cast<double>(config.d_model);
  const double inner = static_cast<double>(config.num_heads) * static_cast<double>(config.d_kv);
  const double attention = 4 * d * inner;
  const double feed_forward = 2 * d * static_cast<double>(config.d_ff);
  const auto hidden = static_cast<double>(config.attention_hidden());
  double attention_expert = 0;
  if (config.moe.attention_experts != "none") {
    attention_expert = hidden > 0 ? hidden * (d + 2 * inner) : 2 * d * inner;
  }
  const double parameters = d * static_cast<double>(config.vocab_size) +
                            layers * (attention + feed_forward) +
                            experts * (feed_forward + attention_expert);
  const auto held = static_cast<double>(files.numel());
  const auto tensors = static_cast<double>(files.tensors().size());
  if (parameters > 1000 * held + 1e9 || layers > tensors + 256 || experts > tensors + 4096) {
    throw damaged_error(
        format("config.json asks for {:.4g} parameters in {} blocks with {} experts, the weights "
               "are {} numbers in {} tensors",
               parameters, layers, experts, held, tensors),
        files.directory(), "take config.json and weights from the same model");
  }
}

/// All that can be said about config.json and weights before memory is taken.
void check_fit(const ModelConfig& config, const TensorFiles& files) {
  check_size(config, files);
  assign(files, EncoderDecoder(config, Precision::kFloat32, at::kMeta));
}

/// Calls work(piece, begin) for the elements of a stored tensor in its own type, some at a time:
/// the mapped bytes are aligned to nothing.
template <class Work>
void for_each_piece(const StoredTensor& stored, int64_t numel, const Work& work) {
  constexpr int64_t kPiece = 1 << 18;
  const DType dtype = stored.spec().dtype;
  const auto width = static_cast<int64_t>(dtype_bytes(dtype));
  const at::Tensor buffer = at::empty({std::min(kPiece, numel)}, *scalar_type(dtype));
  for (int64_t begin = 0; begin < numel; begin += kPiece) {
    const int64_t count = std::min(kPiece, numel - begin);
    std::memcpy(buffer.mutable_data_ptr(), stored.data().data() + begin * width,
                static_cast<size_t>(count * width));
    work(buffer.narrow(0, 0, count), begin);
  }
}

bool all_finite(const at::Tensor& values) { return at::isfinite(values).all().item<bool>(); }

/// Copies into `target` (contiguous, float32 or float64), converting by pieces where types differ.
void read_into(const StoredTensor& stored, const at::Tensor& target) {
  if (*scalar_type(stored.spec().dtype) == target.scalar_type()) {
    std::memcpy(target.mutable_data_ptr(), stored.data().data(), stored.data().size());
    return;
  }
  for_each_piece(stored, target.numel(), [&](const at::Tensor& piece, int64_t begin) {
    target.narrow(0, begin, piece.numel()).copy_(piece);
  });
}

void refuse_not_finite(const Faults& names, const std::string& directory) {
  const std::string list = names.list("");
  if (list.empty()) return;
  throw damaged_error("weights that are NaN or infinite: " + list, directory,
                      "copy the model again, or take an earlier checkpoint");
}

at::Tensor flat_part(const Parameter& parameter, const WeightPart& part) {
  return parameter.value().detach().view(-1).narrow(0, part.begin, part.numel);
}

void load_from(const TensorFiles& files, EncoderDecoder& model) {
  Faults not_finite;
  for (const Assignment& assignment : assign(files, model)) {
    const at::Tensor target = flat_part(*assignment.parameter, assignment.part);
    read_into(*assignment.stored, target);
    if (!all_finite(target)) not_finite.add(assignment.stored->spec().name);
  }
  refuse_not_finite(not_finite, files.directory());
  model.parameters().refresh_compute();
}

/// A tensor of the files to write: a part of a parameter, possibly under another name.
struct Output {
  const Parameter* parameter;
  WeightPart part;
};

std::vector<Output> outputs_of(const EncoderDecoder& model) {
  const ModelConfig& config = model.config();
  std::vector<Output> outputs;
  for (const Parameter& parameter : model.parameters().all()) {
    for (WeightPart& part :
         weight_parts(parameter, config.gated(), /*t5_names=*/config.moe.num_experts == 0)) {
      outputs.push_back({&parameter, part});
      if (config.tie_embeddings) continue;
      // transformers 4.57 fills the stacks' embeddings of an untied model with random numbers
      // unless they are there by name.
      for (const std::string& alias : weight_aliases(parameter.name(), config)) {
        outputs.push_back({&parameter, part});
        outputs.back().part.name = alias;
      }
    }
  }
  return outputs;
}

void write_weights(const std::string& directory, const EncoderDecoder& model,
                   const SaveOptions& options) {
  const at::ScalarType type = scalar_type(options.dtype).value();
  const std::vector<Output> outputs = outputs_of(model);
  std::vector<TensorSpec> specs;
  for (const Output& output : outputs) {
    specs.push_back({output.part.name, options.dtype, output.part.shape});
  }
  write_tensor_files(
      directory, specs, {.shard_bytes = options.shard_bytes},
      [&](size_t i, SafetensorsWriter& file) {
        const at::Tensor values =
            flat_part(*outputs[i].parameter, outputs[i].part).to(at::kCPU, type).contiguous();
        file.write({static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()});
      });
}

}  // namespace

ModelDescription read_model_description(const std::string& directory) {
  const std::string path = config_path(directory);
  if (!std::filesystem::exists(path)) {
    throw usage_error("no config.json in the directory", directory, "name a model directory");
  }
  return parse_model_description(read_file(path), path);
}

void check_model_directory(const std::string& directory) {
  check_fit(read_model_description(directory).config, TensorFiles(directory));
}

void verify_weights(const std::string& directory) {
  const TensorFiles files(directory);
  const EncoderDecoder model(read_model_description(directory).config, Precision::kFloat32,
                             at::kMeta);
  Faults not_finite;
  for (const Assignment& assignment : assign(files, model)) {
    bool finite = true;
    for_each_piece(*assignment.stored, assignment.part.numel,
                   [&](const at::Tensor& piece, int64_t) { finite = finite && all_finite(piece); });
    if (!finite) not_finite.add(assignment.stored->spec().name);
  }
  refuse_not_finite(not_finite, directory);
}

std::vector<StoredPart> find_weights(const TensorFiles& files, const ModelConfig& config) {
  check_size(config, files);
  const EncoderDecoder shapes(config, Precision::kFloat32, at::kMeta);
  std::vector<StoredPart> parts;
  for (Assignment& assignment : assign(files, shapes)) {
    parts.push_back({assignment.parameter->name(), std::move(assignment.part), assignment.stored});
  }
  return parts;
}

void load_weights(const std::string& directory, EncoderDecoder& model) {
  load_from(TensorFiles(directory), model);
}

std::unique_ptr<EncoderDecoder> load_model(const std::string& directory, Precision precision) {
  const ModelConfig config = read_model_description(directory).config;
  const TensorFiles files(directory);
  check_fit(config, files);
  auto model = std::make_unique<EncoderDecoder>(config, precision);
  load_from(files, *model);
  return model;
}

std::vector<WeightView> weight_views(const EncoderDecoder& model) {
  std::vector<WeightView> views;
  for (const Output& output : outputs_of(model)) {
    const at::Tensor values = flat_part(*output.parameter, output.part);
    TORCH_CHECK(values.is_cpu() && values.scalar_type() == at::kFloat && values.is_contiguous(),
                output.part.name, ": master weights are contiguous float32 on the CPU");
    views.push_back({{output.part.name, DType::kF32, output.part.shape},
                     {static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()}});
  }
  return views;
}

void save_model_description(const std::string& directory, const ModelConfig& config,
                            const SaveOptions& options) {
  const nlohmann::json generation = {
      {"decoder_start_token_id", 0}, {"eos_token_id", 1}, {"pad_token_id", 0}};
  write_file(directory + "/generation_config.json", generation.dump(2) + "\n");
  if (!options.tokenizer.empty()) {
    write_file(directory + "/" + kTokenizerFile, read_file(options.tokenizer));
  }
  write_file(config_path(directory), model_description_text(config, options.dtype));
}

void save_model(const std::string& directory, const EncoderDecoder& model,
                const SaveOptions& options) {
  write_weights(directory, model, options);
  save_model_description(directory, model.config(), options);
}

}  // namespace switchyard
