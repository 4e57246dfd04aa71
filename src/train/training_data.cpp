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

/// The run keeps a copy, so that it goes on without the model it began with.
std::string find_tokenizer(const Recipe& recipe, const std::string& run_directory) {
  const std::string kept = run_directory + "/" + kTokenizerFile;
  if (!run_directory.empty() && std::filesystem::exists(kept)) return kept;
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

/// Of rows of examples whose targets have at most so many tokens.
SequenceLengths row_room(const DataConfig& data, int64_t longest_target) {
  SequenceLengths room = {data.input_length, data.target_length};
  if (room.targets > 0) return room;
  room.targets = longest_target;
  if (data.pack) room.targets = std::max(room.targets, data.input_length / 4);
  return room;
}

/// Of one example: the task's lengths, as far as a row has room for them.
SequenceLengths example_room(const Task& task, const SequenceLengths& row) {
  const TaskConfig::Lengths& own = task.config().lengths;
  return {std::min(own.input, row.inputs), std::min(own.target, row.targets)};
}

/// Of the rows trained on: what is only evaluated plays no part.
SequenceLengths training_room(const DataConfig& data, const std::vector<NamedTask>& tasks) {
  int64_t longest = 0;
  for (const NamedTask& task : tasks) {
    if (task.entry->train.empty()) continue;
    longest = std::max(longest, task.task.config().lengths.target);
  }
  return row_room(data, longest);
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

/// Packed rows share the capacity that profile "hf" gives to each.
void warn_packing(const Recipe& recipe) {
  const MoeConfig& moe = recipe.model.moe;
  if (!recipe.data.pack || moe.num_experts == 0 || moe.profile != "hf") return;
  log_warning(
      "model.moe.profile = \"hf\" gives each row room for model.moe.expert_capacity = {} tokens "
      "per "
      "expert, however many examples share it; data.pack = false gives it to each example",
      moe.expert_capacity);
}

ExampleRowOptions row_options(const Recipe& recipe, const SequenceLengths& room) {
  return {room, recipe.data.pack, static_cast<uint64_t>(recipe.train.seed),
          recipe.train.batch_sequences};
}

void open_training_tasks(const Recipe& recipe, const std::vector<NamedTask>& tasks,
                         const Tokenizer& tokenizer, TrainingData& data) {
  const SequenceLengths rows = training_room(recipe.data, tasks);
  std::vector<ExampleSource> sources;
  for (const NamedTask& task : tasks) {
    if (task.entry->train.empty()) continue;
    const SequenceLengths room = example_room(task.task, rows);
    TaskExamples examples =
        encode_examples(task.task, task.entry->train, ExampleUse::kTraining, tokenizer, {room});
    warn_cut(task.name, examples, room);
    const double weight = mixture_weight(task, examples.ids.size(), recipe.data.mixture_exponent);
    log_info("task {}: {} examples to train on, weight {}", task.name,
             format_count(static_cast<long long>(examples.ids.size())), weight);
    sources.push_back({std::move(examples.ids), weight});
  }
  if (sources.empty()) return;
  auto stream = std::make_unique<ExampleStream>(std::move(sources), row_options(recipe, rows));
  log_info("{} examples in rows of {} + {} tokens, {:.1f} to a row", stream->num_examples(),
           rows.inputs, rows.targets, stream->examples_per_row());
  data.training = std::move(stream);
}

void open_held_out_tasks(const Recipe& recipe, const std::vector<NamedTask>& tasks,
                         const Tokenizer& tokenizer, TrainingData& data) {
  for (const NamedTask& task : tasks) {
    if (task.entry->validation.empty()) continue;
    const SequenceLengths room = task_as_read(recipe, task.name).room;
    const EncodingOptions options = {room, static_cast<uint64_t>(recipe.train.evaluate_sequences),
                                     true};
    TaskExamples examples = encode_examples(task.task, task.entry->validation,
                                            ExampleUse::kEvaluation, tokenizer, options);
    const SequenceLengths rows = row_room(recipe.data, room.targets);
    data.held_out.push_back(
        {task.name, std::make_unique<HeldOutExamples>(examples.ids, row_options(recipe, rows)),
         true});
    data.tasks.push_back({task.name, task.task, std::move(examples), room.targets});
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
  for (const PreparedSource& source : find_prepared(recipe.data.validation, "validation")) {
    auto stream = std::make_unique<EvaluationStream>(
        recipe.data, source.folder, static_cast<uint64_t>(recipe.train.evaluate_sequences));
    if (stream->tokenizer_hash() != data.tokenizer_hash) {
      throw usage_error("held-out data was prepared with another tokenizer than the run's",
                        source.folder, "prepare it with " + data.tokenizer_path);
    }
    // A task of that name has numbers of its own.
    const bool taken = recipe.tasks.contains(source.name);
    data.held_out.push_back({taken ? source.folder : source.name, std::move(stream), false});
  }
}

}  // namespace

TaskReading task_as_read(const Recipe& recipe, const std::string& name) {
  const auto entry = recipe.tasks.find(name);
  if (entry == recipe.tasks.end()) {
    Task task = load_task(name);
    const TaskConfig::Lengths& own = task.config().lengths;
    return {task, {own.input, own.target}};
  }
  Task task = load_task(entry->second.task.empty() ? name : entry->second.task);
  const SequenceLengths rows = row_room(recipe.data, task.config().lengths.target);
  return {task, example_room(task, rows)};
}

TrainingData open_training_data(const Recipe& recipe, const std::string& run_directory) {
  TrainingData data;
  const std::vector<NamedTask> tasks = load_tasks(recipe);
  const bool trains_on_tasks = std::any_of(
      tasks.begin(), tasks.end(), [](const NamedTask& task) { return !task.entry->train.empty(); });
  if (!trains_on_tasks) open_prepared(recipe, data);
  if (!tasks.empty()) {
    const Tokenizer tokenizer(data.training ? data.tokenizer_path
                                            : find_tokenizer(recipe, run_directory));
    data.tokenizer_path = tokenizer.path();
    data.tokenizer_hash = tokenizer.hash();
    data.vocab_size = tokenizer.vocab_size();
    warn_packing(recipe);
    open_training_tasks(recipe, tasks, tokenizer, data);
    open_held_out_tasks(recipe, tasks, tokenizer, data);
  }
  check_vocabulary(recipe.model, data.vocab_size, data.tokenizer_path);
  open_validation(recipe, data);
  if (data.held_out.empty()) {
    log_warning("neither data.validation nor a task's validation: the run will not be evaluated");
  }
  return data;
}

}  // namespace switchyard
