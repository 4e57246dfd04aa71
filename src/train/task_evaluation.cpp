#include "train/task_evaluation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "infer/batcher.h"

namespace switchyard {
namespace {

Scores all_scores(const Task& task, const TaskExamples& examples,
                  const std::vector<std::string>& answers) {
  std::vector<MetricTarget> targets;
  for (const Example& example : examples.texts) targets.push_back(example.wanted);
  const MetricInput input = {targets, answers, task.labels()};
  Scores all;
  for (const std::string& name : task.metric_names()) {
    for (auto& [number, value] : compute_metric(find_metric(name), input)) {
      const bool taken = std::any_of(all.begin(), all.end(),
                                     [&](const auto& other) { return other.first == number; });
      all.emplace_back(taken ? name + "." + number : number, value);
    }
  }
  return all;
}

}  // namespace

double TaskScores::mean() const {
  double sum = 0;
  for (const auto& number : numbers) sum += std::isfinite(number.second) ? number.second : 0;
  return numbers.empty() ? 0 : sum / static_cast<double>(numbers.size());
}

std::vector<std::vector<int32_t>> answer_ids(InferenceModel& model, const ExampleIds& examples,
                                             int64_t max_new_tokens, int64_t together,
                                             const std::function<void(uint64_t)>& progress) {
  std::vector<std::vector<int32_t>> answers(examples.size());
  uint64_t done = 0;
  Batcher batcher(model, together);
  for (size_t i = 0; i < examples.size(); ++i) {
    BatchRequest request;
    const auto input = examples.input(i);
    request.input.assign(input.begin(), input.end());
    request.max_new_tokens = max_new_tokens;
    request.on_done = [&, i](Generation generation) {
      answers[i] = std::move(generation.ids);
      ++done;
    };
    batcher.submit(std::move(request));
  }
  while (batcher.step()) {
    if (progress) progress(done);
  }
  return answers;
}

Scores perfect_scores(const Task& task, const TaskExamples& examples) {
  std::vector<std::string> answers;
  for (const Example& example : examples.texts) answers.push_back(example.target);
  return all_scores(task, examples, answers);
}

TaskScores score_task(InferenceModel& model, const Tokenizer& tokenizer, const Task& task,
                      const TaskExamples& examples, int64_t max_new_tokens,
                      const std::function<void(uint64_t)>& progress) {
  const Clock::time_point start = Clock::now();
  TaskScores scores;
  scores.name = task.name();
  scores.examples = examples.ids.size();
  for (const std::vector<int32_t>& ids :
       answer_ids(model, examples.ids, max_new_tokens, kAnswersTogether, progress)) {
    scores.predictions.push_back(tokenizer.decode(ids));
  }
  scores.numbers = all_scores(task, examples, scores.predictions);
  scores.seconds = seconds_since(start);
  return scores;
}

std::string prediction_lines(const TaskExamples& examples,
                             const std::vector<std::string>& predictions) {
  std::string lines;
  for (size_t i = 0; i < predictions.size(); ++i) {
    const Example& example = examples.texts[i];
    nlohmann::ordered_json line = {{"input", example.input},
                                   {"target", example.target},
                                   {"references", example.wanted.references}};
    if (!example.wanted.group.empty()) line["group"] = example.wanted.group;
    if (!example.wanted.context.empty()) line["context"] = example.wanted.context;
    line["output"] = predictions[i];
    lines += line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  }
  return lines;
}

}  // namespace switchyard
