// The part of `eval` that measures a model by its answers to a task.
#pragma once

#include <cstdint>
#include <string>

#include "model/config.h"

namespace switchyard {

struct TaskEvaluationCommand {
  std::string task, input, predictions;
  int64_t examples = 0;      // the first ones; 0: all
  int64_t input_length = 0;  // tokens of an input at most; 0: the task's
  bool json = false;
};

/// Decodes answers of the model in `directory` and prints the task's metrics. Throws Error(kUsage)
/// if there is no tokenizer, and as the readers do.
void evaluate_task(const TaskEvaluationCommand& command, const std::string& directory,
                   Precision precision);

}  // namespace switchyard
