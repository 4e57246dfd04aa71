#include "model/model_directory.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "model/weight_assignment.h"

namespace switchyard {
namespace {

std::string config_path(const std::string& directory) { return directory + "/" + kConfigFile; }

/// All that can be said about config.json and weights before memory is taken.
void check_fit(const ModelDescription& model, const TensorFiles& files) {
  check_size(model.config, files);
  assign(files, EncoderDecoder(model.config, Precision::kFloat32, at::kMeta), model.quantization);
}

/// Calls work(piece, begin) for the elements of a stored tensor in its own type, some at a time:
/// the mapped bytes are aligned to nothing.
template <class Work>
void for_each_piece(const StoredTensor& stored, int64_t numel, const Work& work) {
  constexpr int64_t kPiece = 1 << 18;
  const DType dtype = stored.spec().dtype;
  const auto width = static_cast<int64_t>(dtype_bytes(dtype));
  const at::Tensor buffer = at::empty({std::min(kPiece, numel)}, *float_type_of(dtype));
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
  if (*float_type_of(stored.spec().dtype) == target.scalar_type()) {
    std::memcpy(target.mutable_data_ptr(), stored.data().data(), stored.data().size());
    return;
  }
  for_each_piece(stored, target.numel(), [&](const at::Tensor& piece, int64_t begin) {
    target.narrow(0, begin, piece.numel()).copy_(piece);
  });
}

/// Integers times their rows' scales into `target` (contiguous, float32 or float64), some rows at a
/// time.
void dequantize_into(const StoredTensor& stored, const StoredTensor& scales,
                     const at::Tensor& target) {
  constexpr int64_t kPiece = 1 << 18;
  const int64_t rows = stored.spec().shape[0], width = stored.spec().shape[1];
  const at::Tensor factors = read_scales(scales).unsqueeze(1);
  const int64_t step = std::max<int64_t>(1, kPiece / std::max<int64_t>(1, width));
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t count = std::min(step, rows - begin);
    const at::Tensor piece = at::empty({count, width}, at::kChar);
    std::memcpy(piece.mutable_data_ptr(), stored.data().data() + begin * width, piece.nbytes());
    target.view({rows, width})
        .narrow(0, begin, count)
        .copy_(piece.to(at::kFloat) * factors.narrow(0, begin, count));
  }
}

/// The part of a tensor that `slice` says, of one whose elements another function reads.
template <class Read>
void read_slice(const TensorSlice& slice, const at::Tensor& target, const Read& read) {
  if (slice.is_whole()) return read(target);
  const at::Tensor whole = at::empty({slice.whole_numel()}, target.options());
  read(whole);
  take_slice(whole, slice, target);
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

void load_from(const TensorFiles& files, Quantization quantization, EncoderDecoder& model) {
  Faults not_finite;
  for (const Assignment& assignment : assign(files, model, quantization)) {
    const at::Tensor target = flat_part(*assignment.parameter, assignment.part);
    if (assignment.scales) {
      read_slice(assignment.part.slice, target, [&](const at::Tensor& whole) {
        dequantize_into(*assignment.stored, *assignment.scales, whole);
      });
    } else {
      read_slice(assignment.part.slice, target,
                 [&](const at::Tensor& whole) { read_into(*assignment.stored, whole); });
    }
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
  const at::ScalarType type = float_type_of(options.dtype).value();
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
  check_fit(read_model_description(directory), TensorFiles(directory));
}

void verify_weights(const std::string& directory) {
  const TensorFiles files(directory);
  const ModelDescription description = read_model_description(directory);
  const EncoderDecoder model(description.config, Precision::kFloat32, at::kMeta);
  Faults not_finite;
  for (const Assignment& assignment : assign(files, model, description.quantization)) {
    if (assignment.scales) {
      read_scales(*assignment.scales);
      continue;  // any byte is a weight
    }
    bool finite = true;
    for_each_piece(*assignment.stored, assignment.part.numel,
                   [&](const at::Tensor& piece, int64_t) { finite = finite && all_finite(piece); });
    if (!finite) not_finite.add(assignment.stored->spec().name);
  }
  refuse_not_finite(not_finite, directory);
}

std::vector<StoredPart> find_weights(const TensorFiles& files, const ModelDescription& model) {
  check_size(model.config, files);
  const EncoderDecoder shapes(model.config, Precision::kFloat32, at::kMeta);
  std::vector<StoredPart> parts;
  for (Assignment& assignment : assign(files, shapes, model.quantization)) {
    parts.push_back({assignment.parameter->name(), std::move(assignment.part), assignment.stored,
                     assignment.scales});
  }
  return parts;
}

at::Tensor read_scales(const StoredTensor& scales) {
  at::Tensor values = at::empty({scales.spec().shape[0]}, at::kFloat);
  std::memcpy(values.mutable_data_ptr(), scales.data().data(), values.nbytes());
  if ((at::isfinite(values) & (values > 0)).all().item<bool>()) return values;
  throw damaged_error("scales that are not finite numbers above zero",
                      format("{}, tensor '{}'", scales.file->path(), scales.spec().name),
                      "quantize the model again");
}

void load_weights(const std::string& directory, EncoderDecoder& model) {
  load_from(TensorFiles(directory), read_model_description(directory).quantization, model);
}

std::unique_ptr<EncoderDecoder> load_model(const std::string& directory, Precision precision) {
  const ModelDescription description = read_model_description(directory);
  const TensorFiles files(directory);
  check_fit(description, files);
  auto model = std::make_unique<EncoderDecoder>(description.config, precision);
  load_from(files, description.quantization, *model);
  return model;
}

std::vector<WeightView> weight_views(const EncoderDecoder& model) {
  std::vector<WeightView> views;
  for (const Output& output : outputs_of(model)) {
    const at::Tensor values = flat_part(*output.parameter, output.part);
    TORCH_CHECK(values.is_cpu() && values.scalar_type() == at::kFloat && values.is_contiguous(),
                output.part.name, ": master weights are contiguous float32 on the CPU");
    views.push_back({{output.part.name, DType::kF32, output.part.shape},
                     {static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()},
                     output.part.slice,
                     output.parameter->is_stack()});
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

void copy_companions(const std::string& from, const std::string& to) {
  for (const char* name :
       {"generation_config.json", kTokenizerFile, "tokenizer.json", "tokenizer_config.json",
        "added_tokens.json", "special_tokens_map.json"}) {
    const std::string path = format("{}/{}", from, name);
    if (std::filesystem::exists(path)) write_file(format("{}/{}", to, name), read_file(path));
  }
  // In the model's own directory, or two above it in a run: `eval` measures as it says.
  for (const char* recipe : {"/recipe.toml", "/../../recipe.toml"}) {
    if (!std::filesystem::exists(from + recipe)) continue;
    write_file(to + "/recipe.toml", read_file(from + recipe));
    return;
  }
}

void save_model(const std::string& directory, const EncoderDecoder& model,
                const SaveOptions& options) {
  write_weights(directory, model, options);
  save_model_description(directory, model.config(), options);
}

}  // namespace switchyard
