// The part of `eval` that measures a model by its answers to a task.
#pragma once

#include <cstdint>
#include <string>

#include "model/config.h"
#include "train/recipe.h"

namespace switchyard {

struct TaskEvaluationCommand {
  std::string task, input, predictions;
  int64_t examples = 0;      // the first ones; 0: all
  int64_t input_length = 0;  // tokens of an input at most; 0: as the run, or the task, says
  bool json = false;
};

/// Decodes answers of the model in `directory` and prints the task's metrics, as `recipe`, that of
/// its run, evaluates it. Throws Error(kUsage) if there is no tokenizer, and as the readers do.
void evaluate_task(const TaskEvaluationCommand& command, const std::string& directory,
                   Precision precision, const Recipe& recipe);

}  // namespace switchyard
