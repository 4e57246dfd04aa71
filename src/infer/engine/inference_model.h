// A model that answers: runs the encoder once per input and then one decoder position at a time
// over cached keys and values. What a row gives is the same to the bit whatever is computed with
// it. S: positions of an input, V: vocabulary rows.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "infer/engine/cache_pages.h"
#include "infer/engine/engine_options.h"
#include "infer/engine/expert_memory.h"
#include "infer/engine/routing_trace.h"
#include "infer/engine/weights.h"

namespace switchyard {

/// An input after the encoder: keys and values of each decoder block's cross-attention. Immutable.
struct EncodedInput {
  std::vector<std::byte> memory;
  std::vector<const std::byte*> pages;  // all blocks in each
  int64_t positions = 0;                // without padding
};

/// A row of the decoder.
struct DecoderRow {
  std::shared_ptr<const EncodedInput> input;
  RowCache cache;
  RoutingTrace* trace = nullptr;  // if set: each step appends the routes of the id it reads
};

/// How often each expert of a routed layer was chosen since the model was made.
struct ExpertUse {
  std::string layer;  // "decoder.1", "encoder.1.attention"
  std::vector<int64_t> tokens;
};

/// Residual stream, attention, router and softmax are float32; products read the weights' type. Of
/// bfloat16 weights the results are therefore closer to float32's than those of EncoderDecoder,
/// which also rounds the residual stream. With int8 weights, what products read is quantized row by
/// row; activations between them are as with bfloat16. Not thread-safe: one model per thread that
/// decodes, over shared weights.
class InferenceModel {
 public:
  /// Throws Error(kUsage) for a router that chooses by what is in the batch (expert_choice.h), and
  /// as ExpertMemory() does.
  explicit InferenceModel(std::shared_ptr<const InferenceWeights> weights,
                          const EngineOptions& options = {});
  ~InferenceModel();
  InferenceModel(const InferenceModel&) = delete;
  InferenceModel& operator=(const InferenceModel&) = delete;

  const ModelConfig& config() const;
  const InferenceWeights& weights() const;
  /// Inputs: ids in [0, V), at least one that is not 0; zeros are padding, neither attended to nor
  /// (save for the capacities of profile "hf") routed. `traces`: empty, or per input where to
  /// append its routes, null for those not asked for.
  std::vector<std::shared_ptr<const EncodedInput>> encode(
      std::span<const std::vector<int32_t>> inputs, std::span<RoutingTrace* const> traces = {});
  /// Extends the prefix of each row by its id and gives the logits [rows, V] of the next one.
  /// Rows are distinct objects, of any inputs and lengths.
  void step(std::span<DecoderRow* const> rows, std::span<const int64_t> ids, float* logits);
  /// By routed layer, encoder first.
  std::vector<ExpertUse> expert_use() const;
  /// Empty without a bound.
  std::optional<ExpertMemoryUse> expert_memory() const;
  /// Bytes of weights that a step of one row reads: each matrix of the decoder once, of a routed
  /// layer its router and as many experts as a token has choices.
  int64_t bytes_per_step() const;

 private:
  class Core;
  template <class W>
  class TypedCore;
  std::unique_ptr<Core> core_;
};

}  // namespace switchyard
