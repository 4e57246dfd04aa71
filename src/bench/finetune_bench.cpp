#include "bench/finetune_bench.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/format.h"
#include "base/random.h"
#include "bench/zipf_ids.h"
#include "data/example_stream.h"
#include "train/batches.h"
#include "train/task_evaluation.h"
#include "train/train_step.h"

namespace switchyard {
namespace {

constexpr int32_t kEos = 1;
constexpr double kMedianInput = 60, kLogSpread = 0.8;  // of tasks like GLUE's
constexpr int64_t kShortestInput = 8, kMostTargets = 12;
constexpr uint64_t kSeed = 1;

ExampleIds made_up_examples(int64_t count, int64_t longest_input, int64_t vocab_size) {
  ExampleIds examples;
  const RandomStream random(kSeed, kRandomTest);
  for (int64_t i = 0; i < count; ++i) {
    const auto draw = static_cast<uint64_t>(i);
    const double length = kMedianInput * std::exp(kLogSpread * random.normal(2 * draw));
    const int64_t inputs =
        std::clamp(static_cast<int64_t>(length), kShortestInput, longest_input) - 1;
    const auto targets = 1 + static_cast<int64_t>(random.below(2 * draw + 1, kMostTargets - 1));
    const at::Tensor ids = zipf_ids(1, inputs + targets, vocab_size, draw).to(at::kInt);
    const int32_t* data = ids.const_data_ptr<int32_t>();
    std::vector<int32_t> input(data, data + inputs), target(data + inputs, data + inputs + targets);
    input.push_back(kEos);
    target.push_back(kEos);
    examples.add(input, target);
  }
  return examples;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

/// One way of making rows, and what its steps took.
class SideRunner {
 public:
  SideRunner(const ExampleIds& examples, const Recipe& recipe, bool pack)
      : recipe_(recipe),
        stream_(sources_of(examples),
                {{recipe.data.input_length, recipe.data.target_length}, pack, kSeed}) {}

  void step(EncoderDecoder& model, Optimizer& optimizer, int64_t number, bool timed) {
    const int64_t rows = recipe_.train.batch_sequences;
    const TokenBatch tokens = stream_.batch(static_cast<uint64_t>(number * rows), rows);
    const Batch batch = to_batch(tokens, 0);
    const Clock::time_point start = Clock::now();
    train_step(model, optimizer, batch, recipe_, number + 1);
    const double seconds = seconds_since(start);
    if (!timed) return;
    // A target ends with the one EOS of its example.
    const auto examples =
        static_cast<double>(std::count(tokens.targets.begin(), tokens.targets.end(), kEos));
    const auto real = static_cast<double>(tokens.input_tokens() + tokens.target_tokens());
    examples_ += examples;
    real_ += real;
    computed_ += static_cast<double>(tokens.inputs.size() + tokens.targets.size());
    example_rates_.push_back(examples / seconds);
    token_rates_.push_back(real / seconds);
  }

  FinetuneBenchResult::Side result() const {
    return {median(example_rates_), median(token_rates_), 1 - real_ / computed_,
            examples_ / static_cast<double>(example_rates_.size())};
  }

 private:
  static std::vector<ExampleSource> sources_of(const ExampleIds& examples) {
    std::vector<ExampleSource> sources;
    sources.push_back({examples, 1});
    return sources;
  }

  Recipe recipe_;
  ExampleStream stream_;
  double examples_ = 0, real_ = 0, computed_ = 0;
  std::vector<double> example_rates_, token_rates_;
};

double answers_per_second(InferenceModel& model, const ExampleIds& examples, int64_t together) {
  const Clock::time_point start = Clock::now();
  answer_ids(model, examples, kMostTargets, together);
  return static_cast<double>(examples.size()) / seconds_since(start);
}

nlohmann::json to_json(const FinetuneBenchResult::Side& side) {
  return {{"examples_per_second", side.examples_per_second},
          {"tokens_per_second", side.tokens_per_second},
          {"padding_share", side.padding_share},
          {"examples_per_step", side.examples_per_step}};
}

}  // namespace

FinetuneBenchResult run_finetune_bench(const Recipe& recipe, const FinetuneBenchOptions& options) {
  const ExampleIds examples =
      made_up_examples(options.examples, recipe.data.input_length, recipe.model.vocab_size);
  EncoderDecoder model(recipe.model, parse_precision(recipe.train.precision));
  model.parameters().initialize(static_cast<uint64_t>(recipe.train.seed));
  const auto optimizer = make_optimizer(recipe.optimizer, model.parameters());
  SideRunner packed(examples, recipe, true), single(examples, recipe, false);
  constexpr int64_t kWarmUp = 1;
  for (int64_t i = 0; i < kWarmUp + options.steps; ++i) {
    packed.step(model, *optimizer, i, i >= kWarmUp);
    single.step(model, *optimizer, i, i >= kWarmUp);
  }
  FinetuneBenchResult result;
  result.packed = packed.result();
  result.single = single.result();
  for (size_t i = 0; i < examples.size(); ++i) {
    const SequenceLengths own = examples.lengths(i);
    result.mean_input += static_cast<double>(own.inputs) / static_cast<double>(examples.size());
    result.mean_target += static_cast<double>(own.targets) / static_cast<double>(examples.size());
  }
  InferenceModel engine(weights_of(model));
  const ExampleIds asked =
      made_up_examples(options.answers, recipe.data.input_length, recipe.model.vocab_size);
  answers_per_second(engine, asked, kAnswersTogether);  // warms up
  result.answers_per_second = answers_per_second(engine, asked, kAnswersTogether);
  result.one_by_one = answers_per_second(engine, asked, 1);
  return result;
}

nlohmann::json to_json(const FinetuneBenchResult& result) {
  return {{"packed", to_json(result.packed)},
          {"single", to_json(result.single)},
          {"mean_input", result.mean_input},
          {"mean_target", result.mean_target},
          {"answers_per_second", result.answers_per_second},
          {"one_by_one", result.one_by_one}};
}

std::string finetune_table(const FinetuneBenchResult& result) {
  std::string text = format("examples of {:.0f} + {:.0f} tokens on average\n", result.mean_input,
                            result.mean_target);
  text += format("{:<10}{:>12}{:>12}{:>10}{:>16}\n", "rows", "examples/s", "tokens/s", "padding",
                 "examples a step");
  for (const auto& [name, side] :
       {std::pair{"packed", &result.packed}, std::pair{"single", &result.single}}) {
    text += format("{:<10}{:>12.1f}{:>12.0f}{:>8.0f} %{:>16.1f}\n", name, side->examples_per_second,
                   side->tokens_per_second, 100 * side->padding_share, side->examples_per_step);
  }
  text += format("packing    {:.2f} times the examples/s\n",
                 result.packed.examples_per_second / result.single.examples_per_second);
  return text + format("answers    {:.1f}/s as decoded in evaluation, {:.1f}/s one by one\n",
                       result.answers_per_second, result.one_by_one);
}

}  // namespace switchyard
