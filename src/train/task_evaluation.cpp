#include "train/task_evaluation.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "infer/batcher.h"

namespace switchyard {
namespace {

constexpr int64_t kRowsTogether = 32;

Scores all_scores(const Task& task, const MetricInput& input) {
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

std::vector<std::string> answer_examples(InferenceModel& model, const Tokenizer& tokenizer,
                                         const ExampleIds& examples, int64_t max_new_tokens,
                                         const std::function<void(uint64_t)>& progress) {
  std::vector<std::string> answers(examples.size());
  uint64_t done = 0;
  Batcher batcher(model, kRowsTogether);
  for (size_t i = 0; i < examples.size(); ++i) {
    BatchRequest request;
    const auto input = examples.input(i);
    request.input.assign(input.begin(), input.end());
    request.max_new_tokens = max_new_tokens;
    request.on_done = [&, i](const Generation& generation) {
      answers[i] = tokenizer.decode(generation.ids);
      ++done;
    };
    batcher.submit(std::move(request));
  }
  while (batcher.step()) {
    if (progress) progress(done);
  }
  return answers;
}

TaskScores score_task(InferenceModel& model, const Tokenizer& tokenizer, const Task& task,
                      const TaskExamples& examples, int64_t max_new_tokens,
                      const std::function<void(uint64_t)>& progress) {
  const Clock::time_point start = Clock::now();
  TaskScores scores;
  scores.name = task.name();
  scores.examples = examples.ids.size();
  scores.predictions = answer_examples(model, tokenizer, examples.ids, max_new_tokens, progress);
  std::vector<MetricTarget> targets;
  for (const Example& example : examples.texts) targets.push_back(example.wanted);
  scores.numbers = all_scores(task, {targets, scores.predictions, task.labels()});
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
