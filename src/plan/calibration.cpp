#include "plan/calibration.h"

#include <time.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "base/format.h"
#include "base/machine.h"
#include "base/profile.h"
#include "base/threads.h"
#include "bench/memory_rate.h"
#include "bench/step_runner.h"
#include "plan/cost_fit.h"
#include "plan/step_program.h"
#include "train/gemm_rate.h"

namespace switchyard {
namespace {

struct Sizes {
  int64_t d_model, d_ff, d_kv, heads, vocabulary, experts, batch, input_length;
  const char* feed_forward;
  const char* optimizer;
  double momentum, dropout;
};

constexpr Sizes kModels[] = {
    {64, 256, 32, 2, 2048, 8, 64, 32, "relu", "adafactor", 0.9, 0},
    {128, 512, 32, 4, 2048, 8, 32, 128, "relu", "adafactor", 0, 0},
    {128, 512, 32, 4, 2048, 8, 16, 128, "geglu", "adamw", 0, 0},
    {192, 768, 64, 3, 4096, 32, 16, 64, "geglu", "adamw", 0, 0.1},
    {256, 1024, 32, 8, 8192, 16, 8, 256, "relu", "adamw", 0, 0},
    {384, 1024, 64, 6, 16384, 2, 4, 256, "geglu", "adafactor", 0, 0},
    {512, 2048, 64, 8, 8192, 4, 4, 512, "relu", "adafactor", 0.9, 0},
};

Recipe recipe_of(const Sizes& sizes, bool wide) {
  Recipe recipe;
  recipe.model.d_model = sizes.d_model;
  recipe.model.d_ff = sizes.d_ff;
  recipe.model.d_kv = sizes.d_kv;
  recipe.model.num_heads = sizes.heads;
  recipe.model.num_encoder_layers = recipe.model.num_decoder_layers = 2;
  recipe.model.vocab_size = sizes.vocabulary;
  recipe.model.feed_forward = sizes.feed_forward;
  recipe.model.dropout = sizes.dropout;
  recipe.model.moe.num_experts = sizes.experts;
  recipe.model.moe.capacity = "dropless";  // the work is then known beforehand
  recipe.data.input_length = sizes.input_length;
  recipe.optimizer.kind = sizes.optimizer;
  recipe.optimizer.momentum = sizes.momentum;
  recipe.train.batch_sequences = sizes.batch;
  if (wide) recipe.train.precision = "fp32";
  return recipe;
}

// Of glibc's heap, which prepare_process() tells to keep what it has: between tensors of a step,
// and gradients that came into the gaps of the first one. Measured (docs/planning.md), not derived.
constexpr double kHeapGaps = 0.5;

using Key = std::pair<OpKind, std::string>;

bool is_product(OpKind kind) {
  return kind >= OpKind::kLinearForward && kind <= OpKind::kRouterWeightGradient;
}

/// The kind that a scope of the profile measures; nothing for scopes that no operation stands for.
std::optional<Key> key_of(const ProfileEntry& entry, OpKind optimizer, bool gated) {
  if (entry.name == "optimizer") return Key{optimizer, ""};
  const bool router = entry.detail.find("router") != std::string::npos;
  std::string name = entry.name;
  if (router && name == "linear forward") name = "router " + name;
  if (router && name.starts_with("linear ")) name = "router " + name.substr(7);
  if (gated && (name.starts_with("experts ") || name.starts_with("activation "))) {
    name = "gated " + name;
  }
  for (int kind = 0; kind < kNumOpKinds - 1; ++kind) {
    const auto known = static_cast<OpKind>(kind);
    if (op_kind_name(known) == name) return Key{known, is_product(known) ? entry.detail : ""};
  }
  return std::nullopt;
}

std::map<Key, Work> work_of(const StepProgram& program) {
  std::map<Key, Work> work;
  for (const Op& op : program.ops) {
    if (op.is_transfer()) continue;
    work[{op.kind, is_product(op.kind) ? op.detail : ""}] += op.repeat * op.work;
  }
  return work;
}

OpKind optimizer_kind(const StepProgram& program) { return program.ops.back().kind; }

/// A line of /proc/self/status in bytes, 0 where it is not known.
double resident_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name;) {
    double kilobytes = 0;
    if (name == field + ":" && status >> kilobytes) return 1024 * kilobytes;
    status.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

/// Processor time of this thread.
double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Times of one model's steps, added to the samples of each kind.
void sample(const Recipe& recipe, int64_t steps,
            std::map<OpKind, std::vector<CostSample>>& samples) {
  const StepOptions options = step_options(recipe);
  const StepProgram program =
      make_step_program(recipe, {}, share_parameters(parameter_shapes(recipe), {}), options);
  StepBenchOptions bench;
  bench.input_length = options.input_length;
  bench.target_length = options.target_length;
  StepRunner runner(recipe, bench);
  for (int i = 0; i < 2; ++i) runner.run();
  // How a step's time is divided, from the fastest of each part: other processes may stop any of
  // them for a while. How much it is, from the processor time, which does not count that.
  std::map<std::pair<std::string, std::string>, ProfileEntry> fastest;
  double spent = 0;
  for (int64_t i = 0; i < steps; ++i) {
    Profiler profiler;
    const double before = thread_seconds();
    runner.run();
    spent += (thread_seconds() - before) / static_cast<double>(steps);
    for (const ProfileEntry& entry : profiler.entries()) {
      ProfileEntry& least = fastest.try_emplace({entry.name, entry.detail}, entry).first->second;
      least.seconds = std::min(least.seconds, entry.seconds);
    }
  }
  double sum = 0;
  for (const auto& [names, entry] : fastest) sum += entry.seconds;
  const double slower = std::max(1.0, spent / sum);
  std::map<Key, double> seconds;
  for (const auto& [names, entry] : fastest) {
    if (const auto key = key_of(entry, optimizer_kind(program), recipe.model.gated())) {
      seconds[*key] += slower * entry.seconds;
    }
  }
  for (const auto& [key, work] : work_of(program)) {
    if (const auto times = seconds.find(key); times != seconds.end()) {
      samples[key.first].push_back({work, times->second});
    }
  }
}

}  // namespace

std::vector<Recipe> calibration_recipes(bool wide) {
  std::vector<Recipe> recipes;
  for (const Sizes& sizes : kModels) recipes.push_back(recipe_of(sizes, wide));
  return recipes;
}

MeasuredCosts measure_costs(const std::vector<Recipe>& recipes, int64_t steps) {
  std::map<OpKind, std::vector<CostSample>> samples;
  for (const Recipe& recipe : recipes) sample(recipe, steps, samples);
  MeasuredCosts measured;
  for (const auto& [kind, times] : samples) {
    const auto place = static_cast<size_t>(kind);
    measured.costs[place] = fit_cost(times);
    measured.classes[place] = fit_classes(times, measured.costs[place]);
  }
  return measured;
}

Machine measure_this_machine(const CalibrationOptions& options) {
  Machine machine;
  machine.name = "this";
  const double heap = resident_bytes("RssAnon");
  machine.source = format("measured, {}, {}", processor_name(), utc_time());
  machine.memory_bytes = static_cast<double>(available_memory());
  machine.flops = measure_gemm_rate(Precision::kBfloat16Selective, 0.5);
  machine.flops_fp32 = measure_gemm_rate(Precision::kFloat32, 0.5);
  machine.memory_rate = measure_memory_rates(uncached_working_set(), 0.2).copy;
  if (options.narrow) {
    MeasuredCosts measured = measure_costs(calibration_recipes(false), options.steps);
    machine.costs_bf16 = measured.costs;
    machine.classes_bf16 = std::move(measured.classes);
  }
  if (options.wide) {
    MeasuredCosts measured = measure_costs(calibration_recipes(true), options.steps);
    machine.costs_fp32 = measured.costs;
    machine.classes_fp32 = std::move(measured.classes);
  }
  // Code of the libraries is in memory once it ran; the heap is that of before the models.
  machine.base_bytes = heap + resident_bytes("RssFile");
  machine.heap_gaps = kHeapGaps;
  return machine;
}

}  // namespace switchyard
