#include "infer/quantize_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/new_directory.h"
#include "infer/quantize_weights.h"
#include "kernels/int8_product.h"
#include "model/model_directory.h"
#include "model/weight_assignment.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPiece = 1 << 20;  // numbers of a weight in memory at a time

/// Numbers [begin, begin + count) of a stored tensor, in float32.
at::Tensor read_floats(const StoredTensor& stored, int64_t begin, int64_t count) {
  const at::Tensor piece = at::empty({count}, *float_type_of(stored.spec().dtype));
  std::memcpy(piece.mutable_data_ptr(),
              stored.data().data() + static_cast<size_t>(begin) * piece.element_size(),
              piece.nbytes());
  return piece.to(at::kFloat);
}

/// One weight of the new directory; of a quantized one, its integers or its scales.
struct Output {
  enum class Kind { kFloats, kIntegers, kScales } kind;
  const StoredPart* part;

  TensorSpec spec() const {
    const WeightPart& weight = part->part;
    switch (kind) {
      case Kind::kIntegers:
        return {weight.name, DType::kI8, weight.shape};
      case Kind::kScales:
        return {scale_name(weight.name), DType::kF32, {weight.shape[0], 1}};
      default:
        return {weight.name, DType::kF32, weight.shape};
    }
  }
};

template <class T>
std::span<const std::byte> bytes_of(const T* data, int64_t count) {
  return std::as_bytes(std::span(data, static_cast<size_t>(count)));
}

/// Writes weights one after the other; scales of a matrix follow its integers.
class WeightWriter {
 public:
  explicit WeightWriter(const QuantizeOptions& options, uint64_t all)
      : options_(options), all_(all) {}

  void write(const Output& output, SafetensorsWriter& file) {
    switch (output.kind) {
      case Output::Kind::kFloats:
        write_floats(*output.part, file);
        break;
      case Output::Kind::kIntegers:
        write_integers(*output.part, file);
        break;
      case Output::Kind::kScales:
        file.write(bytes_of(scales_.data(), static_cast<int64_t>(scales_.size())));
        break;
    }
  }

 private:
  void write_floats(const StoredPart& part, SafetensorsWriter& file) {
    for (int64_t begin = 0; begin < part.part.numel; begin += kPiece) {
      const int64_t count = std::min(kPiece, part.part.numel - begin);
      const at::Tensor values = read_floats(*part.stored, begin, count);
      if (!at::isfinite(values).all().item<bool>()) refuse(part);
      file.write(bytes_of(values.const_data_ptr<float>(), count));
    }
    count_read(part);
  }

  void write_integers(const StoredPart& part, SafetensorsWriter& file) {
    const int64_t rows = part.part.shape[0], width = part.part.shape[1];
    const int64_t step = std::max<int64_t>(1, kPiece / width);
    scales_.resize(static_cast<size_t>(rows));
    integers_.resize(static_cast<size_t>(step * width));
    for (int64_t begin = 0; begin < rows; begin += step) {
      const int64_t count = std::min(step, rows - begin);
      const at::Tensor values = read_floats(*part.stored, begin * width, count * width);
      quantize_weights(values.const_data_ptr<float>(), count, width, integers_.data(),
                       scales_.data() + begin);
      file.write(bytes_of(integers_.data(), count * width));
    }
    if (std::any_of(scales_.begin(), scales_.end(), [](float s) { return std::isnan(s); })) {
      refuse(part);
    }
    count_read(part);
  }

  [[noreturn]] static void refuse(const StoredPart& part) {
    throw damaged_error("weights that are NaN or infinite: " + part.stored->spec().name,
                        part.stored->file->path(),
                        "copy the model again, or take an earlier checkpoint");
  }

  void count_read(const StoredPart& part) {
    read_ += part.stored->data().size();
    if (options_.progress) options_.progress(read_, all_);
  }

  const QuantizeOptions& options_;
  uint64_t all_, read_ = 0;
  std::vector<float> scales_;
  std::vector<int8_t> integers_;
};

std::vector<Output> outputs_of(const std::vector<StoredPart>& parts, const ModelConfig& config) {
  const EncoderDecoder shapes(config, Precision::kFloat32, at::kMeta);
  std::set<std::string> matrices;
  for (const Parameter& parameter : shapes.parameters().all()) {
    if (is_quantizable(parameter)) matrices.insert(parameter.name());
  }
  std::vector<Output> outputs;
  for (const StoredPart& part : parts) {
    if (!matrices.contains(part.parameter)) {
      outputs.push_back({Output::Kind::kFloats, &part});
      continue;
    }
    if (part.part.shape[1] > kernels::kMaxInt8Depth) {
      throw usage_error(format("{} has rows of {} numbers, too many for sums of int8 products",
                               part.part.name, part.part.shape[1]),
                        part.stored->file->path(),
                        format("{} is the most", kernels::kMaxInt8Depth));
    }
    outputs.push_back({Output::Kind::kIntegers, &part});
    outputs.push_back({Output::Kind::kScales, &part});
  }
  return outputs;
}

}  // namespace

QuantizeResult quantize_model(const std::string& model, const std::string& output,
                              const QuantizeOptions& options) {
  const ModelDescription description = read_model_description(model);
  if (description.quantization != Quantization::kNone) {
    throw usage_error("the model is quantized already", model, "name the model it was made from");
  }
  NewDirectory directory(output);
  const TensorFiles files(model);
  const std::vector<StoredPart> parts = find_weights(files, description);
  const std::vector<Output> outputs = outputs_of(parts, description.config);
  QuantizeResult result;
  std::vector<TensorSpec> specs;
  for (const Output& out : outputs) {
    specs.push_back(out.spec());
    result.bytes_after += specs.back().bytes();
    if (out.kind != Output::Kind::kScales) result.bytes_before += out.part->stored->data().size();
  }
  WeightWriter writer(options, result.bytes_before);
  write_tensor_files(directory.temporary(), specs, {.shard_bytes = options.shard_bytes},
                     [&](size_t i, SafetensorsWriter& file) { writer.write(outputs[i], file); });
  copy_companions(model, directory.temporary());
  const std::string config = model + "/" + kConfigFile;
  write_file(directory.temporary() + "/" + kConfigFile,
             quantized_description_text(read_file(config), config));
  directory.commit();
  return result;
}

}  // namespace switchyard
