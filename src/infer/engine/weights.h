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
#include <string>
#include <vector>

#include "checkpoint/tensor_files.h"
#include "model/config.h"
#include "model/encoder_decoder.h"

namespace switchyard {

/// [outputs, inputs], row-major, of InferenceWeights' type. Without data: there is no such matrix.
struct Matrix {
  const void* data = nullptr;
  int64_t outputs = 0, inputs = 0;
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
  bool bfloat16 = false;  // the matrices' type; else float32
  Matrix embedding;       // [V, D]
  Matrix output;          // [V, D]
  StackWeights encoder, decoder;
  int64_t mapped_bytes = 0;     // of matrices that are read where they were
  int64_t converted_bytes = 0;  // of copies made

  // What the matrices point into.
  std::unique_ptr<TensorFiles> files;
  std::vector<at::Tensor> copies;
};

/// Maps the weights of a model directory; `precision`: fp32 or bf16-selective. Nothing is read but
/// what has to be converted, so that starting is quick and experts that nobody chooses cost no
/// memory. Throws as load_model(), and Error(kUsage) for other precisions.
std::shared_ptr<const InferenceWeights> map_weights(const std::string& directory,
                                                    Precision precision);

/// The compute copies of `model`, which must outlive the result and not change. Throws
/// Error(kUsage) unless its precision is fp32 or bf16-selective and it lives on the CPU.
std::shared_ptr<const InferenceWeights> weights_of(const EncoderDecoder& model);

/// Weights for measurements: `values` gives each parameter's, of its shape, in float32 or bfloat16
/// on the CPU. Throws Error(kUsage) for other precisions than the above.
std::shared_ptr<const InferenceWeights> make_weights(
    const ModelConfig& config, Precision precision,
    const std::function<at::Tensor(const Parameter&)>& values);

}  // namespace switchyard
