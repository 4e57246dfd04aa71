// The decoder that the program uses: cached keys and values, inference-only weights.
#pragma once

#include <cstdint>
#include <vector>

#include "infer/engine/inference_model.h"
#include "infer/step_decoder.h"

namespace switchyard {

/// A step costs one position of the decoder. The same ids as ModelStepDecoder where capacity does
/// not bind; here it never does (infer/engine/expert_choice.h), and a row's numbers are the same
/// to the bit whatever is decoded with it. Not thread-safe; `model` must outlive it.
class CachedDecoder : public StepDecoder {
 public:
  /// As ModelStepDecoder's.
  CachedDecoder(InferenceModel& model, const std::vector<std::vector<int32_t>>& inputs);

  int64_t num_inputs() const override { return num_inputs_; }
  int64_t vocab_size() const override;
  /// Throws Error(kRuntime) if the model gives numbers that are not finite. What it returns is
  /// valid until the next step.
  at::Tensor step(const StepRows& rows) override;
  const float* log_sums() const override { return log_sums_.data(); }

 private:
  InferenceModel& model_;
  int64_t num_inputs_;
  std::vector<DecoderRow> rows_;  // of the last step (at first: per input)
  at::Tensor log_p_;              // [R, V]
  std::vector<float> log_sums_;   // [R]
};

}  // namespace switchyard
