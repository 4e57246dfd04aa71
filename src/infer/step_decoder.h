// One step of decoding, behind which greedy decoding, beam search and sampling do not know the
// model: the tests put tables there, and a decoder with caches can take the place of
// ModelStepDecoder. N: inputs, R: rows of a step, S: encoder positions, T: decoder positions so
// far, V: vocabulary rows.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "model/encoder_decoder.h"

namespace switchyard {

constexpr int64_t kDecoderStartId = 0;  // T5: the decoder begins with padding
constexpr int64_t kDecoderEosId = 1;

/// The rows of a step: row r goes on from row `parents[r]` of the step before, whose prefix it
/// extends by `ids[r]`. In the first step parents are indices of inputs and every id is
/// kDecoderStartId. Rows may be repeated, left out and put in any order: rows that have ended are
/// left out.
struct StepRows {
  std::vector<int64_t> parents, ids;

  size_t size() const { return parents.size(); }
  void add(int64_t parent, int64_t id) {
    parents.push_back(parent);
    ids.push_back(id);
  }
};

class StepDecoder {
 public:
  virtual ~StepDecoder() = default;
  virtual int64_t num_inputs() const = 0;
  virtual int64_t vocab_size() const = 0;
  /// Log-probabilities of the id after each row's prefix: [R, V] float32 on the CPU, contiguous.
  /// At least one row. Valid until the next step.
  virtual at::Tensor step(const StepRows& rows) = 0;
  /// [R] what the last step's log-probabilities lack to be logits; null: nothing.
  virtual const float* log_sums() const { return nullptr; }
};

/// Feeds ids that all outputs begin with; `rows`, those of the next step, go on behind them.
void feed_prefix(StepDecoder& decoder, const std::vector<int32_t>& prefix, StepRows& rows);

/// Encodes once; each step runs the decoder over the whole prefixes, and computes logits of their
/// last position only. Routing uses the evaluation capacity over the rows of a step, so that where
/// capacity binds, results depend on what is decoded together. Not thread-safe; `model` must
/// outlive it.
class ModelStepDecoder : public StepDecoder {
 public:
  /// `inputs`: ids with their EOS, each in [0, V), at least one that is not 0. Shorter ones are
  /// padded with 0, which is neither attended to nor routed. At least one input.
  ModelStepDecoder(EncoderDecoder& model, const std::vector<std::vector<int32_t>>& inputs);

  int64_t num_inputs() const override { return num_inputs_; }
  int64_t vocab_size() const override;
  /// Throws Error(kRuntime) if the model gives numbers that are not finite.
  at::Tensor step(const StepRows& rows) override;
  const float* log_sums() const override { return log_sums_.const_data_ptr<float>(); }

 private:
  EncoderDecoder& model_;
  int64_t num_inputs_;
  Batch batch_;        // one row per row of the last step (at first: per input)
  at::Tensor memory_;  // [R, S, D]
  at::Tensor log_sums_;
};

}  // namespace switchyard
