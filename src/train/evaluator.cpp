#include "train/evaluator.h"

#include <limits>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/log.h"
#include "infer/engine/expert_choice.h"
#include "infer/engine/weights.h"
#include "model/parallel/whole_model.h"
#include "train/checkpoint.h"

namespace switchyard {
namespace {

constexpr const char* kMean = "mean";

/// "NAME/NUMBER" apart.
std::pair<std::string, std::string> parts_of(const std::string& metric) {
  const size_t slash = metric.find('/');
  if (slash == metric.npos) return {};
  return {metric.substr(0, slash), metric.substr(slash + 1)};
}

void check_router(const MoeConfig& moe) {
  const std::string reason = moe.num_experts > 0 ? batch_dependence(moe) : "";
  if (reason.empty()) return;
  throw usage_error("answers to tasks cannot be decoded: " + reason, "tasks",
                    "leave the tasks' validation out, or choose another router");
}

/// None if it cannot be read: only a report would show what it says.
std::optional<Tokenizer> for_names(const std::string& path) {
  try {
    return Tokenizer(path);
  } catch (const Error& error) {
    log_warning("{}: tokens of experts will be told by their ids alone", error.what());
    return std::nullopt;
  }
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
  if (best_metric_.empty()) best_metric_ = data.tasks.empty() ? kNlpMetric : kMean;
  if (!data.tasks.empty()) {
    tokenizer_.emplace(data.tokenizer_path);
  } else if (recipe.model.moe.num_experts > 0 && has_work()) {
    tokenizer_ = for_names(data.tokenizer_path);
  }
  if (!data.tasks.empty()) check_router(recipe.model.moe);
  check_metric();
}

/// So that a wrong name is not found out at the first evaluation.
void Evaluator::check_metric() const {
  if (best_metric_ == kNlpMetric || (best_metric_ == kMean && !data_.tasks.empty())) return;
  const auto [name, number] = parts_of(best_metric_);
  std::vector<std::string> names = {kNlpMetric};
  for (const DecodedTask& task : data_.tasks) {
    names.push_back(task.name + "/NUMBER");
    if (task.name != name) continue;
    std::vector<std::string> numbers;
    for (const auto& [own, value] : perfect_scores(task.task, task.validation)) {
      if (own == number) return;
      numbers.push_back(own);
    }
    throw unknown_metric(best_metric_, format("{} has {}", name, fmt::join(numbers, ", ")));
  }
  throw unknown_metric(best_metric_, format("there is {}", fmt::join(names, ", ")));
}

double Evaluator::quality(const RunEvaluation& evaluation) const {
  if (best_metric_ == kNlpMetric) return evaluation.all.nlp();
  if (best_metric_ == kMean) {
    if (evaluation.tasks.empty()) return std::numeric_limits<double>::quiet_NaN();
    double sum = 0;
    for (const TaskScores& scores : evaluation.tasks) sum += scores.mean();
    return sum / static_cast<double>(evaluation.tasks.size());
  }
  const auto [name, number] = parts_of(best_metric_);
  for (const TaskScores& scores : evaluation.tasks) {
    if (scores.name != name) continue;
    for (const auto& [own, value] : scores.numbers) {
      if (own == number) return value;
    }
  }
  return std::numeric_limits<double>::quiet_NaN();
}

RunEvaluation Evaluator::evaluate(EncoderDecoder& model, bool decode,
                                  const std::function<void(const std::string&)>& show) const {
  RunEvaluation evaluation;
  for (const HeldOut& held_out : data_.held_out) {
    const auto progress = [&](int64_t done) {
      show(format("evaluating {}  {} of {} sequences", held_out.name, done,
                  held_out.stream->num_sequences()));
    };
    EvaluationResult result = switchyard::evaluate(model, *held_out.stream, 0, progress, mesh_,
                                                   /*keep_choices=*/mesh_.is_first());
    evaluation.all += result;
    result.choices = {};
    evaluation.by_source.emplace_back(held_out.name, std::move(result));
  }
  decode = decode && !data_.tasks.empty();
  const std::unique_ptr<EncoderDecoder> whole =
      decode && is_shared_out(mesh_) ? whole_model(model) : nullptr;
  if (!mesh_.is_first()) return evaluation;
  if (decode) {
    InferenceModel engine(weights_of(whole ? *whole : model));
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
