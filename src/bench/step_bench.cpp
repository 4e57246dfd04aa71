#include "bench/step_bench.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/format.h"
#include "base/profile.h"
#include "base/progress.h"
#include "base/threads.h"
#include "bench/zipf_ids.h"
#include "model/counts.h"
#include "train/gemm_rate.h"
#include "train/train_step.h"

namespace switchyard {
namespace {

using Clock = std::chrono::steady_clock;

// "encoder.block.1.layer.1.mlp.wi.weight" -> "dense feed-forward".
std::string part_of_parameter(const std::string& name) {
  if (name.find("router") != std::string::npos) return "router";
  if (name.find("Attention") != std::string::npos) return "attention projections";
  if (name.find(".mlp.") != std::string::npos) return "dense feed-forward";
  return "linear";
}

/// "linear weight gradient" on a router's matrix -> row "router", column backward.
void add_entry(std::map<std::string, StepPart>& parts, const ProfileEntry& entry, double per_step) {
  std::string name = entry.name;
  bool backward = false;
  for (const auto& [ending, is_backward] : {std::pair{" forward", false},
                                            {" backward", true},
                                            {" weight gradient", true},
                                            {" input gradient", true}}) {
    if (!entry.name.ends_with(ending)) continue;
    name = entry.name.substr(0, entry.name.rfind(ending));
    backward = is_backward;
  }
  if (name == "linear") name = part_of_parameter(entry.detail);
  if (name == "rest of") name = "rest (sums, activations, shapes)";
  StepPart& part = parts[name];
  part.name = name;
  (backward ? part.backward : part.forward) += entry.seconds * per_step;
}

// A machine that swaps or ends the process says nothing about speed.
void check_memory(const Recipe& recipe) {
  double bytes = 4 + 4;  // of a parameter: master and gradient
  if (parse_precision(recipe.train.precision) != Precision::kFloat32) bytes += 2;
  if (recipe.optimizer.kind == "adamw") {
    bytes += 8;
  } else if (recipe.optimizer.momentum > 0) {
    bytes += 4;
  }
  const double needed = bytes * static_cast<double>(count_parameters(recipe.model));
  const auto available = static_cast<double>(available_memory());
  if (needed <= available) return;
  throw runtime_failure(
      format("weights, gradients and optimizer need {}, and this process may use {}",
             format_bytes(needed), format_bytes(available)),
      "bench", "take a smaller shape, fewer experts or a machine with more memory");
}

class StepRunner {
 public:
  StepRunner(const Recipe& recipe, const StepBenchOptions& options)
      : recipe_(recipe),
        options_(options),
        model_(recipe.model, parse_precision(recipe.train.precision)) {
    model_.parameters().initialize(static_cast<uint64_t>(recipe.train.seed));
    optimizer_ = make_optimizer(recipe.optimizer, model_.parameters());
  }

  /// One step on a fresh batch; its seconds.
  double run() {
    const int64_t sequences = recipe_.train.batch_sequences;
    const int64_t vocab_size = recipe_.model.vocab_size;
    const auto salt = static_cast<uint64_t>(++step_);
    const Batch batch =
        make_batch(zipf_ids(sequences, options_.input_length, vocab_size, 2 * salt),
                   zipf_ids(sequences, options_.target_length, vocab_size, 2 * salt + 1));
    const Clock::time_point start = Clock::now();
    last_ = train_step(model_, *optimizer_, batch, recipe_, step_);
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  const StepResult& last() const { return last_; }
  int64_t parameters() { return model_.parameters().numel(); }

 private:
  Recipe recipe_;
  StepBenchOptions options_;
  EncoderDecoder model_;
  std::unique_ptr<Optimizer> optimizer_;
  StepResult last_;
  int64_t step_ = 0;
};

}  // namespace

StepBenchResult run_step_bench(const Recipe& recipe, const StepBenchOptions& options) {
  check_memory(recipe);
  StepBenchResult result;
  result.gemm_rate =
      measure_gemm_rate(parse_precision(recipe.train.precision), options.gemm_seconds);
  StepRunner runner(recipe, options);
  result.parameters = runner.parameters();
  for (int64_t i = 0; i < options.warmup_steps; ++i) runner.run();

  std::vector<double> seconds;
  double dropped = 0, routed = 0, saved = 0;
  for (int64_t i = 0; i < options.steps; ++i) {
    seconds.push_back(runner.run());
    saved += dropped_flops(recipe.model, runner.last().routing);
    for (const RoutingStats& layer : runner.last().routing) {
      dropped += layer.dropped;
      routed += layer.tokens;
    }
  }
  std::sort(seconds.begin(), seconds.end());
  const auto sequences = static_cast<double>(recipe.train.batch_sequences);
  result.step_seconds = seconds[seconds.size() / 2];
  result.fastest = seconds.front();
  result.slowest = seconds.back();
  result.tokens_per_second = sequences *
                             static_cast<double>(options.input_length + options.target_length) /
                             result.step_seconds;
  result.gemm_share = training_flops(recipe.model, options.input_length, options.target_length,
                                     sequences, saved / static_cast<double>(options.steps)) /
                      result.step_seconds / result.gemm_rate;
  result.dropped_share = routed > 0 ? dropped / routed : 0.0;

  const int64_t profiled_steps = std::min<int64_t>(options.steps, 5);
  const double per_step = 1.0 / static_cast<double>(profiled_steps);
  std::map<std::string, StepPart> parts;
  {
    Profiler profiler;
    for (int64_t i = 0; i < profiled_steps; ++i) result.profiled_seconds += runner.run() * per_step;
    for (const ProfileEntry& entry : profiler.entries()) add_entry(parts, entry, per_step);
  }
  for (auto& [name, part] : parts) result.parts.push_back(std::move(part));
  std::sort(result.parts.begin(), result.parts.end(),
            [](const StepPart& a, const StepPart& b) { return a.seconds() > b.seconds(); });
  result.loss = runner.last().loss;
  result.peak_memory = peak_memory();
  return result;
}

}  // namespace switchyard
