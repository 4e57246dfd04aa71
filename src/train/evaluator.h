// Evaluates a run's model on all that its recipe holds out: NLP of sequences, answers to tasks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/encoder_decoder.h"
#include "train/evaluation.h"
#include "train/task_evaluation.h"
#include "train/training_data.h"

namespace switchyard {

struct RunEvaluation {
  EvaluationResult all;                                             // over what is held out
  std::vector<std::pair<std::string, EvaluationResult>> by_source;  // in the recipe's order
  std::vector<TaskScores> tasks;
  double quality = 0;  // by the evaluator's metric(); more is better; NaN where it is not defined

  double seconds() const;
};

class Evaluator {
 public:
  /// `data` and `mesh` must outlive it. Throws Error(kUsage) if train.best_metric names nothing
  /// that is measured, or if answers are to be decoded and the router does not choose token by
  /// token (infer/engine/expert_choice.h).
  Evaluator(const Recipe& recipe, const TrainingData& data, const Mesh& mesh);

  bool has_work() const { return !data_.held_out.empty(); }
  /// That of the data; null for a dense model without tasks, or if it cannot be read.
  const Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }
  /// What qualities are measured by: kNlpMetric, "mean" or "NAME/NUMBER".
  const std::string& metric() const { return best_metric_; }
  /// All ranks call it. Held-out sequences are shared out; tasks are answered by rank 0 alone, and
  /// the others have neither answers nor quality. `show` is told what is being done. `decode`:
  /// answers to tasks too, for which weights must be finite and on the CPU.
  RunEvaluation evaluate(EncoderDecoder& model, bool decode,
                         const std::function<void(const std::string&)>& show) const;

 private:
  void check_metric() const;
  double quality(const RunEvaluation& evaluation) const;

  const TrainingData& data_;
  const Mesh& mesh_;
  std::string best_metric_;
  std::optional<Tokenizer> tokenizer_;
};

/// Writes what was answered to each task, RUN/predictions/step-00000100/NAME.jsonl.
void write_predictions(const std::string& run_directory, int64_t step, const TrainingData& data,
                       const RunEvaluation& evaluation);

}  // namespace switchyard
