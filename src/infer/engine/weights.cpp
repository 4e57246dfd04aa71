#include "infer/engine/weights.h"

#include <cstring>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "infer/quantize_weights.h"
#include "kernels/int8_product.h"
#include "model/model_directory.h"
#include "model/quantization.h"
#include "model/weight_assignment.h"
#include "model/weight_names.h"

namespace switchyard {
namespace {

/// A part of a parameter as it is stored.
struct Piece {
  std::string name;
  const void* data;
  at::ScalarType type;
  std::vector<int64_t> shape;
  int64_t numel;
  at::Tensor scales;                   // [rows] of int8; else undefined
  std::span<const std::byte> mapping;  // of the file; empty: in memory
};

/// The whole mapped file that a tensor lies in.
std::span<const std::byte> mapping_of(const StoredTensor& stored) {
  const std::vector<TensorEntry>& all = stored.file->tensors();  // the last ends where it ends
  return {stored.data().data() - stored.entry->begin, all.back().end};
}

/// find_weights() lets no other type than these through.
at::ScalarType scalar_type(DType type) {
  return type == DType::kI8 ? at::kChar : float_type_of(type).value();
}

/// A copy in `type`. The piece may be aligned to nothing.
at::Tensor converted(const Piece& piece, at::ScalarType type) {
  const at::Tensor stored = at::empty(piece.shape, piece.type);
  std::memcpy(stored.mutable_data_ptr(), piece.data, stored.nbytes());
  if (piece.scales.defined()) return (stored.to(at::kFloat) * piece.scales.unsqueeze(1)).to(type);
  return stored.to(type);
}

at::ScalarType scalar_type(WeightType type) {
  switch (type) {
    case WeightType::kFloat32:
      return at::kFloat;
    case WeightType::kBfloat16:
      return at::kBFloat16;
    case WeightType::kInt8:
      return at::kChar;
  }
  return at::kFloat;
}

/// What is read anyway is looked at; damage in mapped weights shows in the logits.
void check_finite(const Piece& piece, const at::Tensor& values) {
  if (at::isfinite(values).all().item<bool>()) return;
  throw damaged_error("weights that are NaN or infinite", piece.name,
                      "copy the model again, or take an earlier checkpoint");
}

/// Makes InferenceWeights from pieces by the names of their parameters.
class Builder {
 public:
  Builder(InferenceWeights& weights, std::map<std::string, std::vector<Piece>> pieces)
      : weights_(weights), type_(scalar_type(weights.type)), pieces_(std::move(pieces)) {}

  void build() {
    const ModelConfig& config = weights_.config;
    weights_.embedding = matrix("shared.weight");
    weights_.output = config.tie_embeddings ? weights_.embedding : matrix("lm_head.weight");
    weights_.encoder = stack("encoder", config.num_encoder_layers);
    weights_.decoder = stack("decoder", config.num_decoder_layers);
  }

 private:
  bool has(const std::string& name) const { return pieces_.contains(name); }
  const std::vector<Piece>& pieces(const std::string& name) const { return pieces_.at(name); }

  Matrix matrix(const Piece& piece) {
    const auto width = static_cast<int64_t>(at::elementSize(type_));
    const bool aligned = reinterpret_cast<uintptr_t>(piece.data) % at::elementSize(type_) == 0;
    Matrix matrix;
    matrix.data = piece.data;
    matrix.outputs = piece.shape[0];
    matrix.inputs = piece.shape[1];
    matrix.bytes = static_cast<size_t>(piece.numel * width);
    if (piece.type == type_ && aligned) {
      matrix.mapping = piece.mapping;
      weights_.mapped_bytes += piece.numel * width;
    } else {
      weights_.copies.push_back(converted(piece, type_));
      check_finite(piece, weights_.copies.back());
      weights_.converted_bytes += piece.numel * width;
      matrix.data = weights_.copies.back().const_data_ptr();
    }
    if (type_ == at::kChar) {
      if (matrix.inputs > kernels::kMaxInt8Depth) {
        throw usage_error("rows of too many numbers for sums of int8 products", piece.name,
                          "decode with --precision fp32");
      }
      weights_.copies.push_back(piece.scales);
      matrix.scales = piece.scales.const_data_ptr<float>();
    }
    return matrix;
  }
  Matrix matrix(const std::string& name) { return matrix(pieces(name).front()); }

  std::vector<float> floats(const std::string& name) const {
    const at::Tensor values = converted(pieces(name).front(), at::kFloat);
    const float* data = values.const_data_ptr<float>();
    return {data, data + values.numel()};
  }

  AttentionWeights attention(const std::string& prefix) {
    AttentionWeights out;
    if (has(prefix + ".q.weight")) {
      out.q = matrix(prefix + ".q.weight");
      out.k = matrix(prefix + ".k.weight");
      out.v = matrix(prefix + ".v.weight");
    }
    out.o = matrix(prefix + ".o.weight");
    return out;
  }

  /// wi is one piece or, gated, two.
  void set_input(FeedForwardWeights& to, const Piece* wi) {
    to.wi = matrix(wi[0]);
    if (weights_.config.gated()) to.linear = matrix(wi[1]);
  }

  FeedForwardWeights dense(const std::string& prefix) {
    FeedForwardWeights out;
    set_input(out, pieces(prefix + ".wi.weight").data());
    out.last = {matrix(prefix + ".wo.weight")};
    return out;
  }

  RoutedWeights routed(const std::string& prefix, const std::string& last) {
    RoutedWeights out;
    const std::string router = prefix + ".router.classifier.weight";
    if (has(router)) out.router = floats(router);
    const auto experts = static_cast<size_t>(weights_.config.moe.num_experts);
    out.experts.resize(experts);
    const std::string wi = prefix + ".experts.wi.weight";
    const auto& last_pieces = pieces(prefix + ".experts." + last + ".weight");
    const size_t parts = last_pieces.size() / experts;
    for (size_t e = 0; e < experts; ++e) {
      FeedForwardWeights& expert = out.experts[e];
      if (has(wi)) set_input(expert, pieces(wi).data() + e * (pieces(wi).size() / experts));
      for (size_t p = 0; p < parts; ++p) {
        expert.last.push_back(matrix(last_pieces[e * parts + p]));
      }
    }
    return out;
  }

  BlockWeights block(const std::string& prefix, bool decoder) {
    BlockWeights out;
    const std::string self = prefix + "0.SelfAttention", last = prefix + (decoder ? "2" : "1");
    out.self_norm = floats(prefix + "0.layer_norm.weight");
    out.self = attention(self);
    if (has(self + ".experts.qkv.weight")) out.attention_experts = routed(self, "qkv");
    if (decoder) {
      out.cross_norm = floats(prefix + "1.layer_norm.weight");
      out.cross = attention(prefix + "1.EncDecAttention");
    }
    out.feed_forward_norm = floats(last + ".layer_norm.weight");
    if (has(last + ".mlp.experts.wo.weight")) {
      out.routed = routed(last + ".mlp", "wo");
    } else {
      out.dense = dense(last + ".mlp");
    }
    return out;
  }

  StackWeights stack(const std::string& name, int64_t layers) {
    StackWeights out;
    for (int64_t i = 0; i < layers; ++i) {
      out.blocks.push_back(block(format("{}.block.{}.layer.", name, i), name == "decoder"));
    }
    out.relative_bias =
        floats(name + ".block.0.layer.0.SelfAttention.relative_attention_bias.weight");
    out.final_norm = floats(name + ".final_layer_norm.weight");
    return out;
  }

  InferenceWeights& weights_;
  at::ScalarType type_;
  std::map<std::string, std::vector<Piece>> pieces_;
};

void check_precision(Precision precision) {
  if (precision == Precision::kFloat32 || precision == Precision::kBfloat16Selective) return;
  throw usage_error("decoding with a cache knows the precisions fp32 and bf16-selective", "",
                    "choose one of them, or decode without a cache");
}

std::shared_ptr<InferenceWeights> empty_weights(const ModelConfig& config, WeightType type) {
  auto weights = std::make_shared<InferenceWeights>();
  weights->config = config;
  weights->type = type;
  return weights;
}

/// Integers of `values`, and a scale for each of their rows.
struct QuantizedValues {
  at::Tensor integers, scales;
};

QuantizedValues quantized(const at::Tensor& values) {
  const at::Tensor wide = values.to(at::kFloat).contiguous();
  const int64_t width = wide.size(-1), rows = wide.numel() / width;
  QuantizedValues result = {at::empty(wide.sizes(), at::kChar), at::empty({rows}, at::kFloat)};
  quantize_weights(wide.const_data_ptr<float>(), rows, width,
                   result.integers.mutable_data_ptr<int8_t>(),
                   result.scales.mutable_data_ptr<float>());
  return result;
}

/// Of what `values` gives for each parameter, which is kept.
std::shared_ptr<const InferenceWeights> weights_of(
    const EncoderDecoder& model, WeightType type,
    const std::function<at::Tensor(const Parameter&)>& values) {
  const auto weights = empty_weights(model.config(), type);
  std::map<std::string, std::vector<Piece>> pieces;
  for (const Parameter& parameter : model.parameters().all()) {
    at::Tensor own = values(parameter), scales;
    if (type == WeightType::kInt8 && is_quantizable(parameter)) {
      QuantizedValues integers = quantized(own);
      own = std::move(integers.integers);
      scales = std::move(integers.scales);
    }
    weights->copies.push_back(own);
    for (const WeightPart& part : weight_parts(parameter, model.config().gated(), false)) {
      const auto* data = static_cast<const std::byte*>(own.const_data_ptr()) +
                         static_cast<size_t>(part.begin) * own.element_size();
      Piece piece = {part.name, data, own.scalar_type(), part.shape, part.numel, {}, {}};
      if (scales.defined()) {
        piece.scales = scales.narrow(0, part.begin / part.shape[1], part.shape[0]);
      }
      pieces[parameter.name()].push_back(std::move(piece));
    }
  }
  Builder(*weights, std::move(pieces)).build();
  return weights;
}

}  // namespace

int64_t weight_bytes(WeightType type) {
  return static_cast<int64_t>(at::elementSize(scalar_type(type)));
}

std::shared_ptr<const InferenceWeights> map_weights(const std::string& directory,
                                                    Precision precision) {
  check_precision(precision);
  const ModelDescription model = read_model_description(directory);
  WeightType type = WeightType::kFloat32;
  if (precision != Precision::kFloat32) {
    const bool quantized = model.quantization == Quantization::kInt8;
    type = quantized ? WeightType::kInt8 : WeightType::kBfloat16;
  }
  const auto weights = empty_weights(model.config, type);
  weights->files = std::make_unique<TensorFiles>(directory);
  std::map<std::string, std::vector<Piece>> pieces;
  for (const StoredPart& found : find_weights(*weights->files, model)) {
    pieces[found.parameter].push_back(
        {found.stored->spec().name, found.stored->data().data(),
         scalar_type(found.stored->spec().dtype), found.part.shape, found.part.numel,
         found.scales ? read_scales(*found.scales) : at::Tensor(), mapping_of(*found.stored)});
  }
  Builder(*weights, std::move(pieces)).build();
  return weights;
}

std::shared_ptr<const InferenceWeights> weights_of(const EncoderDecoder& model) {
  const Precision precision = model.parameters().precision();
  check_precision(precision);
  return weights_of(model,
                    precision == Precision::kFloat32 ? WeightType::kFloat32 : WeightType::kBfloat16,
                    [](const Parameter& parameter) {
                      if (!parameter.compute().is_cpu()) {
                        throw usage_error("decoding with a cache needs the model in main memory",
                                          parameter.name());
                      }
                      return parameter.compute();
                    });
}

std::shared_ptr<const InferenceWeights> make_weights(
    const ModelConfig& config, WeightType type,
    const std::function<at::Tensor(const Parameter&)>& values) {
  return weights_of(EncoderDecoder(config, Precision::kFloat32, at::kMeta), type, values);
}

}  // namespace switchyard
