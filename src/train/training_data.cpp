#include "train/training_data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "base/progress.h"
#include "data/example_stream.h"
#include "data/streams.h"
#include "model/model_directory.h"
#include "train/evaluation.h"
#include "train/run_directory.h"

namespace switchyard {
namespace {

std::string find_tokenizer(const Recipe& recipe) {
  if (!recipe.data.tokenizer.empty()) return recipe.data.tokenizer;
  for (const std::string& model : {recipe.train.start_from, recipe.objective.teacher}) {
    if (model.empty()) continue;
    const std::string path = find_model_directory(model) + "/" + kTokenizerFile;
    if (std::filesystem::exists(path)) return path;
  }
  throw usage_error("no tokenizer for the tasks", "data.tokenizer",
                    "name a spiece.model, or a train.start_from that has one");
}

/// [tasks] of a recipe with the task files they name.
struct NamedTask {
  std::string name;
  const TaskEntry* entry;
  Task task;
};

std::vector<NamedTask> load_tasks(const Recipe& recipe) {
  std::vector<NamedTask> tasks;
  for (const auto& [name, entry] : recipe.tasks) {
    if (entry.train.empty() && entry.validation.empty()) continue;
    tasks.push_back({name, &entry, load_task(entry.task.empty() ? name : entry.task)});
  }
  return tasks;
}

SequenceLengths row_room(const DataConfig& data, const std::vector<NamedTask>& tasks) {
  SequenceLengths room = {data.input_length, data.target_length};
  if (room.targets > 0) return room;
  for (const NamedTask& task : tasks) {
    room.targets = std::max(room.targets, task.task.config().lengths.target);
  }
  if (data.pack) room.targets = std::max(room.targets, data.input_length / 4);
  return room;
}

/// Of one example: the task's lengths, as far as a row has room for them.
SequenceLengths example_room(const Task& task, const SequenceLengths& row) {
  const TaskConfig::Lengths& own = task.config().lengths;
  return {std::min(own.input, row.inputs), std::min(own.target, row.targets)};
}

double mixture_weight(const NamedTask& task, size_t examples, double exponent) {
  const TaskConfig::Mixture& own = task.task.config().mixture;
  double weight = task.entry->weight > 0 ? task.entry->weight : own.weight;
  if (weight <= 0) weight = static_cast<double>(examples);
  const int64_t most = task.entry->max_examples > 0 ? task.entry->max_examples : own.max_examples;
  if (most > 0) weight = std::min(weight, static_cast<double>(most));
  return std::pow(weight, exponent);
}

void warn_cut(const std::string& name, const TaskExamples& examples, const SequenceLengths& room) {
  if (examples.cut_inputs + examples.cut_targets == 0) return;
  log_warning("task {}: of {} examples {} inputs were cut to {} tokens and {} targets to {}", name,
              examples.ids.size(), examples.cut_inputs, room.inputs, examples.cut_targets,
              room.targets);
}

void open_tasks(const Recipe& recipe, const Tokenizer& tokenizer, TrainingData& data) {
  const std::vector<NamedTask> tasks = load_tasks(recipe);
  const ExampleRowOptions rows = {row_room(recipe.data, tasks), recipe.data.pack,
                                  static_cast<uint64_t>(recipe.train.seed)};
  std::vector<ExampleSource> sources;
  for (const NamedTask& task : tasks) {
    const SequenceLengths room = example_room(task.task, rows.room);
    if (!task.entry->train.empty()) {
      TaskExamples examples =
          encode_examples(task.task, task.entry->train, ExampleUse::kTraining, tokenizer, {room});
      warn_cut(task.name, examples, room);
      const double weight = mixture_weight(task, examples.ids.size(), recipe.data.mixture_exponent);
      log_info("task {}: {} examples to train on, weight {}", task.name,
               format_count(static_cast<long long>(examples.ids.size())), weight);
      sources.push_back({std::move(examples.ids), weight});
    }
    if (!task.entry->validation.empty()) {
      const EncodingOptions options = {room, static_cast<uint64_t>(recipe.train.evaluate_sequences),
                                       true};
      TaskExamples examples = encode_examples(task.task, task.entry->validation,
                                              ExampleUse::kEvaluation, tokenizer, options);
      data.held_out.push_back(
          {task.name, std::make_unique<HeldOutExamples>(examples.ids, rows), true});
      data.tasks.push_back({task.name, task.task, std::move(examples), room.targets});
    }
  }
  if (!sources.empty()) {
    auto stream = std::make_unique<ExampleStream>(std::move(sources), rows);
    log_info("{} examples in rows of {} + {} tokens, {:.1f} to a row", stream->num_examples(),
             rows.room.inputs, rows.room.targets, stream->examples_per_row());
    data.training = std::move(stream);
  }
}

void open_prepared(const Recipe& recipe, TrainingData& data) {
  auto stream =
      std::make_unique<TrainingStream>(recipe.data, static_cast<uint64_t>(recipe.train.seed));
  data.tokenizer_path = stream->tokenizer_path();
  data.tokenizer_hash = stream->tokenizer_hash();
  data.vocab_size = stream->vocab_size();
  data.training = std::move(stream);
}

void open_validation(const Recipe& recipe, TrainingData& data) {
  for (const auto& [path, weight] : recipe.data.validation) {
    auto stream = std::make_unique<EvaluationStream>(
        recipe.data, path, static_cast<uint64_t>(recipe.train.evaluate_sequences));
    if (stream->tokenizer_hash() != data.tokenizer_hash) {
      throw usage_error("held-out data was prepared with another tokenizer than the run's", path,
                        "prepare it with " + data.tokenizer_path);
    }
    data.held_out.push_back({path, std::move(stream), false});
  }
}

}  // namespace

TrainingData open_training_data(const Recipe& recipe) {
  TrainingData data;
  if (!recipe.data.train.empty() || recipe.tasks.empty()) open_prepared(recipe, data);
  if (!recipe.tasks.empty()) {
    const Tokenizer tokenizer(data.training ? data.tokenizer_path : find_tokenizer(recipe));
    data.tokenizer_path = tokenizer.path();
    data.tokenizer_hash = tokenizer.hash();
    data.vocab_size = tokenizer.vocab_size();
    open_tasks(recipe, tokenizer, data);
  }
  check_vocabulary(recipe.model, data.vocab_size, data.tokenizer_path);
  open_validation(recipe, data);
  if (data.held_out.empty()) {
    log_warning("neither data.validation nor a task's validation: the run will not be evaluated");
  }
  return data;
}

}  // namespace switchyard
