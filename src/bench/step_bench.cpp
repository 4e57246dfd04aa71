#include "bench/step_bench.h"

#include <algorithm>
#include <map>

#include "base/profile.h"
#include "base/threads.h"
#include "bench/step_runner.h"
#include "model/counts.h"
#include "train/gemm_rate.h"

namespace switchyard {
namespace {

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

}  // namespace

StepBenchResult run_step_bench(const Recipe& recipe, const StepBenchOptions& options) {
  StepBenchResult result;
  StepRunner runner(recipe, options);
  result.gemm_rate =
      measure_gemm_rate(parse_precision(recipe.train.precision), options.gemm_seconds);
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
