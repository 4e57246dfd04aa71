// What a recipe trains and is evaluated on: prepared data, or files of tasks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/sequence_stream.h"
#include "tasks/task_examples.h"
#include "text/tokenizer.h"
#include "train/recipe.h"

namespace switchyard {

/// Held-out sequences and what they are called.
struct HeldOut {
  std::string name;
  std::unique_ptr<HeldOutStream> stream;
  bool task = false;
};

/// A task that answers are decoded for.
struct DecodedTask {
  std::string name;         // in the recipe
  Task task;                // its metrics
  TaskExamples validation;  // with texts
  int64_t max_new_tokens = 0;
};

struct TrainingData {
  std::string tokenizer_path, tokenizer_hash;
  int64_t vocab_size = 0;  // of the tokenizer
  std::unique_ptr<SequenceStream> training;
  std::vector<HeldOut> held_out;
  std::vector<DecodedTask> tasks;
};

/// A task as a run evaluates it, and the tokens that inputs and targets may have.
struct TaskReading {
  Task task;
  SequenceLengths room;
};
/// By [tasks.`name`] of the recipe; a task that it does not have is read as its own file says.
/// Throws as load_task().
TaskReading task_as_read(const Recipe& recipe, const std::string& name);

/// `run_directory`: where the run keeps a tokenizer of its own, if it goes on; "": nowhere.
/// Reads the tasks' files into memory as ids. Throws Error(kUsage) for data that does not fit the
/// model or another source, and as the readers do.
TrainingData open_training_data(const Recipe& recipe, const std::string& run_directory = {});

}  // namespace switchyard
