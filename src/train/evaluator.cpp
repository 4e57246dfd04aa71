#include "train/evaluator.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "infer/engine/weights.h"

namespace switchyard {
namespace {

constexpr const char* kNlp = "nlp";
constexpr const char* kMean = "mean";

/// "NAME/NUMBER" apart.
std::pair<std::string, std::string> parts_of(const std::string& metric) {
  const size_t slash = metric.find('/');
  if (slash == metric.npos) return {};
  return {metric.substr(0, slash), metric.substr(slash + 1)};
}

Error unknown_metric(const std::string& metric, const std::string& hint) {
  return usage_error(format("train.best_metric = \"{}\" is not measured", metric),
                     "train.best_metric", hint);
}

}  // namespace

double RunEvaluation::seconds() const {
  double sum = all.seconds;
  for (const TaskScores& scores : tasks) sum += scores.seconds;
  return sum;
}

Evaluator::Evaluator(const Recipe& recipe, const TrainingData& data, const Mesh& mesh)
    : data_(data), mesh_(mesh), best_metric_(recipe.train.best_metric) {
  if (best_metric_.empty()) best_metric_ = data.tasks.empty() ? kNlp : kMean;
  if (!data.tasks.empty()) tokenizer_.emplace(data.tokenizer_path);
  if (best_metric_ == kNlp || (best_metric_ == kMean && !data.tasks.empty())) return;
  const std::string name = parts_of(best_metric_).first;
  std::vector<std::string> names;
  for (const DecodedTask& task : data.tasks) names.push_back(task.name + "/NUMBER");
  names.insert(names.begin(), kNlp);
  if (std::any_of(data.tasks.begin(), data.tasks.end(),
                  [&](const DecodedTask& task) { return task.name == name; })) {
    return;
  }
  throw unknown_metric(best_metric_, format("there is {}", fmt::join(names, ", ")));
}

double Evaluator::quality(const RunEvaluation& evaluation) const {
  if (best_metric_ == kNlp) return evaluation.all.nlp();
  if (best_metric_ == kMean) {
    double sum = 0;
    for (const TaskScores& scores : evaluation.tasks) sum += scores.mean();
    return sum / static_cast<double>(evaluation.tasks.size());
  }
  const auto [name, number] = parts_of(best_metric_);
  std::vector<std::string> numbers;
  for (const TaskScores& scores : evaluation.tasks) {
    if (scores.name != name) continue;
    for (const auto& [own, value] : scores.numbers) {
      if (own == number) return value;
      numbers.push_back(own);
    }
  }
  throw unknown_metric(best_metric_, format("{} has {}", name, fmt::join(numbers, ", ")));
}

RunEvaluation Evaluator::evaluate(EncoderDecoder& model,
                                  const std::function<void(const std::string&)>& show) const {
  RunEvaluation evaluation;
  for (const HeldOut& held_out : data_.held_out) {
    const auto progress = [&](int64_t done) {
      show(format("evaluating {}  {} of {} sequences", held_out.name, done,
                  held_out.stream->num_sequences()));
    };
    EvaluationResult result = switchyard::evaluate(model, *held_out.stream, 0, progress, mesh_);
    evaluation.all += result;
    evaluation.by_source.emplace_back(held_out.name, std::move(result));
  }
  if (!mesh_.is_first()) return evaluation;
  if (!data_.tasks.empty()) {
    InferenceModel engine(weights_of(model));
    for (const DecodedTask& task : data_.tasks) {
      const auto progress = [&](uint64_t done) {
        show(format("answering {}  {} of {}", task.name, done, task.validation.ids.size()));
      };
      evaluation.tasks.push_back(score_task(engine, *tokenizer_, task.task, task.validation,
                                            task.max_new_tokens, progress));
      evaluation.tasks.back().name = task.name;
    }
  }
  evaluation.quality = quality(evaluation);
  return evaluation;
}

void write_predictions(const std::string& run_directory, int64_t step, const TrainingData& data,
                       const RunEvaluation& evaluation) {
  if (evaluation.tasks.empty()) return;
  const std::string folder = format("{}/predictions/step-{:08}", run_directory, step);
  make_directories(folder);
  for (size_t i = 0; i < evaluation.tasks.size(); ++i) {
    write_file(format("{}/{}.jsonl", folder, data.tasks[i].name),
               prediction_lines(data.tasks[i].validation, evaluation.tasks[i].predictions));
  }
}

}  // namespace switchyard
