// The weights of a model as decoding reads them: one type for all matrices, no gradients, no master
// copies. A matrix whose stored type is that type stays where it is, in the mapped file or in the
// model it came from; others are converted once.
// D: d_model, I: heads * d_kv, F: d_ff, E: experts.
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/tensor_files.h"
#include "model/config.h"
#include "model/encoder_decoder.h"

namespace switchyard {

enum class WeightType { kFloat32, kBfloat16, kInt8 };

/// Bytes of one.
int64_t weight_bytes(WeightType type);

/// [outputs, inputs], row-major, of InferenceWeights' type. Without data: there is no such matrix.
struct Matrix {
  const void* data = nullptr;
  int64_t outputs = 0, inputs = 0;
  const float* scales = nullptr;       // [outputs]; int8 only
  size_t bytes = 0;                    // of data
  std::span<const std::byte> mapping;  // the mapped file that data lies in; empty: in memory
  explicit operator bool() const { return data != nullptr; }
};

struct AttentionWeights {
  Matrix q, k, v, o;
};

/// A feed-forward, dense or one expert's: last(act(wi x)), or last(x) where there is no wi.
struct FeedForwardWeights {
  Matrix wi;                 // ReLU; GEGLU's gate where there is `linear`
  Matrix linear;             // GEGLU
  std::vector<Matrix> last;  // wo; of an attention expert q and kv: outputs side by side
};

struct RoutedWeights {
  std::vector<float> router;  // [E, D]; empty if the router does not learn
  std::vector<FeedForwardWeights> experts;
};

struct BlockWeights {
  std::vector<float> self_norm, cross_norm, feed_forward_norm;  // [D]
  AttentionWeights self;   // only o where self-attention has experts
  AttentionWeights cross;  // of a decoder
  std::optional<RoutedWeights> attention_experts;
  FeedForwardWeights dense;  // where `routed` is not
  std::optional<RoutedWeights> routed;
};

struct StackWeights {
  std::vector<BlockWeights> blocks;
  std::vector<float> relative_bias;  // [buckets, heads]
  std::vector<float> final_norm;     // [D]
};

/// Immutable; shared by all that decode with it. Thread-safe to read.
struct InferenceWeights {
  ModelConfig config;
  WeightType type = WeightType::kFloat32;  // of the matrices
  Matrix embedding;                        // [V, D]
  Matrix output;                           // [V, D]
  StackWeights encoder, decoder;
  int64_t mapped_bytes = 0;     // of matrices that are read where they were
  int64_t converted_bytes = 0;  // of copies made, without scales

  // What the matrices point into.
  std::unique_ptr<TensorFiles> files;
  std::vector<at::Tensor> copies;
};

/// Maps the weights of a model directory; `precision`: fp32 or bf16-selective. A quantized
/// directory gives int8 matrices, or in fp32 what they stand for. Nothing is read but what has to
/// be converted and scales, so that starting is quick and experts that nobody chooses cost no
/// memory. Throws as load_model(), and Error(kUsage) for other precisions.
std::shared_ptr<const InferenceWeights> map_weights(const std::string& directory,
                                                    Precision precision);

/// The compute copies of `model`, which must outlive the result and not change. Throws
/// Error(kUsage) unless its precision is fp32 or bf16-selective and it lives on the CPU.
std::shared_ptr<const InferenceWeights> weights_of(const EncoderDecoder& model);

/// Weights for tests and measurements: `values` gives each parameter's, of its shape, in float32 or
/// bfloat16 on the CPU. For int8 matrices are quantized as quantize_model() does.
std::shared_ptr<const InferenceWeights> make_weights(
    const ModelConfig& config, WeightType type,
    const std::function<at::Tensor(const Parameter&)>& values);

}  // namespace switchyard
