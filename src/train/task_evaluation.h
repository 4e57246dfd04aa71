// Tasks measured by what a model answers: greedy decoding over cached keys and values, requests
// joining and leaving the batch (infer/batcher.h).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "infer/engine/inference_model.h"
#include "tasks/task_examples.h"
#include "text/tokenizer.h"

namespace switchyard {

struct TaskScores {
  std::string name;
  Scores numbers;  // of all the task's metrics; "metric.number" where two would have one name
  uint64_t examples = 0;
  double seconds = 0;
  std::vector<std::string> predictions;

  /// Over the numbers; one that is not defined counts as 0. 0 without any.
  double mean() const;
};

constexpr int64_t kAnswersTogether = 32;  // requests decoded at a time

/// The ids that each input is answered with, in order; `together` of them are decoded at a time,
/// which changes no answer.
std::vector<std::vector<int32_t>> answer_ids(InferenceModel& model, const ExampleIds& examples,
                                             int64_t max_new_tokens, int64_t together,
                                             const std::function<void(uint64_t)>& progress = {});

/// The metrics of answers that are the targets themselves: what numbers a task has.
Scores perfect_scores(const Task& task, const TaskExamples& examples);

/// Answers `examples` (with their texts) and computes the task's metrics. `progress` is told the
/// number of answers now and then.
TaskScores score_task(InferenceModel& model, const Tokenizer& tokenizer, const Task& task,
                      const TaskExamples& examples, int64_t max_new_tokens,
                      const std::function<void(uint64_t)>& progress = {});

/// JSON lines with input, target, references, group and output of each example: input for
/// `switchyard task score --metric`.
std::string prediction_lines(const TaskExamples& examples,
                             const std::vector<std::string>& predictions);

}  // namespace switchyard
