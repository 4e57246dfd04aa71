#include "task_eval.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/progress.h"
#include "infer/engine/inference_model.h"
#include "lines.h"
#include "model/model_directory.h"
#include "train/task_evaluation.h"
#include "train/training_data.h"

namespace switchyard {
namespace {

Tokenizer tokenizer_of(const std::string& directory) {
  const std::string path = directory + "/" + kTokenizerFile;
  if (std::filesystem::exists(path)) return Tokenizer(path);
  throw usage_error("the model has no tokenizer", path, "copy the spiece.model it was made with");
}

nlohmann::ordered_json as_json(const TaskScores& scores, const std::string& directory) {
  nlohmann::ordered_json metrics = nlohmann::ordered_json::object();
  for (const auto& [name, value] : scores.numbers) metrics[name] = value;
  return {{"model", directory},
          {"task", scores.name},
          {"metrics", metrics},
          {"examples", scores.examples},
          {"seconds", scores.seconds}};
}

}  // namespace

void evaluate_task(const TaskEvaluationCommand& command, const std::string& directory,
                   Precision precision, const Recipe& recipe) {
  auto [task, room] = task_as_read(recipe, command.task);
  const Tokenizer tokenizer = tokenizer_of(directory);
  if (command.input_length > 0) room.inputs = command.input_length;
  const EncodingOptions options = {room, static_cast<uint64_t>(command.examples), true};
  const TaskExamples examples =
      encode_examples(task, command.input, ExampleUse::kEvaluation, tokenizer, options);
  InferenceModel model(map_weights(directory, precision));
  ProgressLine line;
  const TaskScores scores =
      score_task(model, tokenizer, task, examples, room.targets, [&](uint64_t done) {
        line.show(format("answering {}  {} of {}", command.task, done, examples.ids.size()));
      });
  line.clear();
  if (!command.predictions.empty()) {
    write_file(command.predictions, prediction_lines(examples, scores.predictions));
  }
  if (command.json) {
    print_line(as_json(scores, directory).dump());
    return;
  }
  for (const auto& [name, value] : scores.numbers)
    print_line(format("{:<18} {:7.2f}", name, value));
  print_line(format("{} examples of {} in {}",
                    format_count(static_cast<long long>(scores.examples)), scores.name,
                    format_duration(scores.seconds)));
}

}  // namespace switchyard
