// Training steps on made-up ids, one at a time, for measurements.
#pragma once

#include <cstdint>
#include <memory>

#include "bench/step_bench.h"
#include "train/train_step.h"

namespace switchyard {

class StepRunner {
 public:
  /// A new model. Throws Error(kRuntime) if the weights and what belongs to them do not fit into
  /// memory.
  StepRunner(const Recipe& recipe, const StepBenchOptions& options);

  /// One step on a fresh batch; its seconds.
  double run();

  const StepResult& last() const { return last_; }
  int64_t parameters() const { return model_.parameters().numel(); }
  const EncoderDecoder& model() const { return model_; }
  Optimizer& optimizer() { return *optimizer_; }

 private:
  Recipe recipe_;
  StepBenchOptions options_;
  EncoderDecoder model_;
  std::unique_ptr<Optimizer> optimizer_;
  StepResult last_;
  int64_t step_ = 0;
};

}  // namespace switchyard
