#include "model/weight_assignment.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

constexpr size_t kShown = 3;  // faults told by name

// Some files of early transformers versions hold a table that no version ever used.
constexpr const char* kSpurious =
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";

bool uses_t5_names(const TensorFiles& files) {
  return std::any_of(files.tensors().begin(), files.tensors().end(), [](const auto& named) {
    return named.first.find(".DenseReluDense.") != std::string::npos;
  });
}

std::string wrong_shape(const StoredTensor& stored, const std::vector<int64_t>& shape) {
  return format("{} {} instead of {}", stored.spec().name, shape_text(stored.spec().shape),
                shape_text(shape));
}

std::string wrong_type(const StoredTensor& stored) {
  return format("{} of type {}", stored.spec().name, dtype_name(stored.spec().dtype));
}

/// Finds the tensors of parts and collects what does not fit.
class Assigner {
 public:
  Assigner(const TensorFiles& files, const ModelConfig& config, Quantization quantization)
      : files_(files),
        config_(config),
        quantization_(quantization),
        t5_names_(uses_t5_names(files)) {}

  void add(const Parameter& parameter) {
    const std::vector<std::string> aliases = weight_aliases(parameter.name(), config_);
    const bool quantized = quantization_ == Quantization::kInt8 && is_quantizable(parameter);
    for (const std::string& alias : aliases) use(alias, quantized);
    for (const std::string& name : weights_elsewhere(parameter, config_.gated())) {
      use(name, quantized);
    }
    for (WeightPart& part : weight_parts(parameter, config_.gated(), t5_names_)) {
      use(part.name, quantized);
      const StoredTensor* stored = files_.find(part.name);
      for (size_t i = 0; !stored && i < aliases.size(); ++i) stored = files_.find(aliases[i]);
      if (!stored) {
        missing_.add(part.name);
      } else if (stored->spec().shape != part.shape) {
        wrong_.add(wrong_shape(*stored, part.shape));
      } else if (quantized) {
        add_quantized(parameter, std::move(part), *stored);
      } else if (!float_type_of(stored->spec().dtype)) {
        wrong_.add(wrong_type(*stored));
      } else {
        assignments_.push_back({&parameter, std::move(part), stored, nullptr});
      }
    }
  }

  /// Throws with the names of all that does not fit.
  std::vector<Assignment> finish() {
    Faults extra;
    for (const auto& [name, stored] : files_.tensors()) {
      if (!used_.contains(name)) extra.add(format("{:.120}", name));
    }
    std::string what;
    for (const std::string& list :
         {missing_.list("missing "), wrong_.list("wrong: "), extra.list("not of this model: ")}) {
      if (!list.empty()) what += (what.empty() ? "" : "; ") + list;
    }
    if (!what.empty()) {
      throw damaged_error("the weights do not fit config.json: " + what, files_.directory(),
                          "take config.json and weights from the same model");
    }
    return std::move(assignments_);
  }

 private:
  void use(const std::string& name, bool quantized) {
    used_.insert(name);
    if (quantized) used_.insert(scale_name(name));
  }

  void add_quantized(const Parameter& parameter, WeightPart part, const StoredTensor& stored) {
    const std::string name = scale_name(stored.spec().name);
    const StoredTensor* scales = files_.find(name);
    const std::vector<int64_t> shape = {part.shape[0], 1};
    if (!scales) {
      missing_.add(name);
    } else if (stored.spec().dtype != DType::kI8) {
      wrong_.add(wrong_type(stored));
    } else if (scales->spec().shape != shape) {
      wrong_.add(wrong_shape(*scales, shape));
    } else if (scales->spec().dtype != DType::kF32) {
      wrong_.add(wrong_type(*scales));
    } else {
      assignments_.push_back({&parameter, std::move(part), &stored, scales});
    }
  }

  const TensorFiles& files_;
  const ModelConfig& config_;
  Quantization quantization_;
  bool t5_names_;
  std::set<std::string> used_ = {kSpurious};
  Faults missing_, wrong_;
  std::vector<Assignment> assignments_;
};

}  // namespace

std::optional<at::ScalarType> float_type_of(DType type) {
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

void Faults::add(const std::string& text) {
  if (count_++ < kShown) text_ += (text_.empty() ? "" : ", ") + text;
}

std::string Faults::list(const std::string& kind) const {
  if (count_ == 0) return "";
  return kind + text_ + (count_ > kShown ? format(" and {} more", count_ - kShown) : "");
}

// In floating point, since a hostile config.json may ask for any number.
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

std::vector<Assignment> assign(const TensorFiles& files, const EncoderDecoder& model,
                               Quantization quantization) {
  Assigner assigner(files, model.config(), quantization);
  for (const Parameter& parameter : model.parameters().all()) assigner.add(parameter);
  return assigner.finish();
}

}  // namespace switchyard
