// switchyard plan: memory, traffic and time of a training run on any mesh, before it is started.
#include "commands.h"

#include <memory>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "plan/calibration.h"
#include "plan/chrome_trace.h"
#include "plan/failures.h"
#include "plan/plan_recipe.h"
#include "plan/plan_record.h"
#include "plan/search.h"
#include "report/timeline_page.h"
#include "train/process_setup.h"

namespace switchyard {
namespace {

/// As CLI::Range, which lets NaN through.
CLI::Validator finite_range(double least, double most) {
  return CLI::Validator(
      [least, most](const std::string& text) {
        double value = 0;
        if (CLI::detail::lexical_cast(text, value) && value >= least && value <= most) {
          return std::string();
        }
        return format("'{}' is not in the range {} to {}", text, least, most);
      },
      format("FLOAT in [{} - {}]", least, most));
}

struct PlanCommand {
  std::string recipe, model, mesh, machine = "this", calibrate, timeline;
  std::vector<std::string> overrides;
  double dropped_share = 0;
  int64_t chunks = 2;
  bool shard_optimizer = false, search = false, json = false;
  double memory_limit = 0;  // bytes
  SimulationOptions simulation;
  double mtbf_hours = 0, restart_minutes = 10;
};

Machine read_machine(const PlanCommand& command, const Recipe& recipe) {
  if (command.machine != "this") return load_machine(command.machine);
  CalibrationOptions options;
  options.wide = parse_precision(recipe.train.precision) == Precision::kFloat32;
  options.narrow = !options.wide;
  return measure_this_machine(options);
}

PlanRequest read_request(const PlanCommand& command) {
  const PlannedRecipe planned =
      read_planned_recipe(command.recipe, command.model, command.overrides, command.mesh);
  PlanRequest request{planned.recipe, planned.mesh, read_machine(command, planned.recipe),
                      step_options(planned.recipe)};
  request.options.dropped_share = command.dropped_share;
  request.options.chunks = command.chunks;
  request.options.shard_optimizer = command.shard_optimizer;
  return request;
}

void calibrate(const std::string& path) {
  const Machine machine = measure_this_machine();
  write_file(path, machine.to_toml());
  fmt::print("{}: {:.3f} TFLOP/s bfloat16, {:.3f} float32, memory {:.1f} GB/s\n", path,
             machine.flops * 1e-12, machine.flops_fp32 * 1e-12, machine.memory_rate * 1e-9);
}

void search(const PlanCommand& command, const PlanRequest& request) {
  const SearchResult result =
      search_meshes(request, {num_ranks(request.mesh), command.memory_limit});
  if (command.json) {
    fmt::print("{}\n", search_json(result).dump());
  } else {
    fmt::print("{}", search_text(result));
  }
  if (result.fitting.empty()) throw ExitCode{1};
}

SimulationResult run_simulation(const PlanCommand& command, const PlanRequest& request,
                                const Plan& plan) {
  SimulationOptions options = command.simulation;
  options.steps = std::max<int64_t>(1, options.steps);
  options.capacity = request.recipe.model.moe.capacity == "dropless"
                         ? 0
                         : request.recipe.model.moe.capacity_factor_train;
  return simulate(plan.program, request.mesh, request.machine, is_wide(request.recipe), options);
}

FailureOptions failure_options(const PlanCommand& command, const PlanRequest& request,
                               const Plan& plan, double step_seconds) {
  FailureOptions options;
  options.rank_mtbf_seconds = command.mtbf_hours * 3600;
  options.ranks = num_ranks(request.mesh);
  options.save_seconds = plan.checkpoint_bytes / request.machine.disk_rate;
  options.restart_seconds = command.restart_minutes * 60;
  options.step_seconds = step_seconds;
  options.steps = request.recipe.train.steps;
  options.seed = command.simulation.seed;
  return options;
}

void write_timeline(const std::string& path, const PlanRequest& request, const Plan& plan,
                    const SimulationResult& simulated, const std::string& text) {
  const nlohmann::ordered_json trace = chrome_trace(plan.program, simulated, plan.memory);
  const std::string title = format("{} parameters on {} ranks of {}", plan.parameters,
                                   num_ranks(request.mesh), request.machine.name);
  write_file(path, path.ends_with(".json")
                       ? trace.dump()
                       : make_timeline_page(title, text, trace, SWITCHYARD_VERSION));
}

void run(const PlanCommand& command, int threads) {
  prepare_process(threads);
  if (!command.calibrate.empty()) return calibrate(command.calibrate);
  const PlanRequest request = read_request(command);
  if (command.search) return search(command, request);
  const Plan plan = make_plan(request);
  std::string text = plan_text(request, plan);
  nlohmann::ordered_json json = plan_json(request, plan);
  double step_seconds = plan.step_seconds;
  if (command.simulation.steps > 0 || !command.timeline.empty()) {
    const SimulationResult simulated = run_simulation(command, request, plan);
    step_seconds = simulated.mean;
    text += simulation_text(simulated);
    json["simulation"] = simulation_json(simulated);
    if (!command.timeline.empty()) write_timeline(command.timeline, request, plan, simulated, text);
  }
  if (command.mtbf_hours > 0) {
    const FailureOptions options = failure_options(command, request, plan, step_seconds);
    const FailurePlan failures = plan_failures(options);
    text += failures_text(options, failures);
    json["failures"] = failures_json(options, failures);
  }
  fmt::print("{}", command.json ? json.dump() + "\n" : text);
}

void add_inputs(CLI::App& command, PlanCommand& state) {
  command.add_option("--recipe", state.recipe, "Recipe, a TOML file")->option_text("FILE");
  command.add_option("--model", state.model, "Model directory instead; the rest by --set")
      ->option_text("DIR");
  command.add_option("--set", state.overrides, "Override a key of the recipe: section.key=value")
      ->option_text("KEY=VALUE...");
  command
      .add_option("--mesh", state.mesh,
                  "Ranks along each axis, in place of the recipe's: data=2,expert=4,model=1")
      ->option_text("AXES");
  command
      .add_option(
          "--machine", state.machine,
          "What each rank is: this (measured now), h100, h200, tpu_v3_core, cpu_cluster, or "
          "a TOML file as --calibrate writes it")
      ->option_text("NAME=this");
  command
      .add_option("--calibrate", state.calibrate,
                  "Measure this machine, write what it can do into FILE.toml, and end")
      ->option_text("FILE");
  command.add_option("--dropped", state.dropped_share, "Share of routed tokens that are dropped")
      ->check(finite_range(0.0, 1.0))
      ->option_text("SHARE=0");
  command
      .add_option("--chunks", state.chunks,
                  "Parts of the all-to-all that overlap with the experts' products; 1: no overlap")
      ->check(CLI::Range(1, 64))
      ->option_text("N=2");
  command.add_flag("--shard-optimizer", state.shard_optimizer,
                   "Replicas share the optimizer's state (ZeRO-1)");
}

void add_search(CLI::App& command, PlanCommand& state) {
  command.add_flag("--search", state.search,
                   "Find the fastest meshes of as many ranks as --mesh has, with the size of a "
                   "forward pass, recomputation and ZeRO-1");
  command
      .add_option("--memory-limit", state.memory_limit,
                  "With --search: memory of a rank (64G); the machine's if not given")
      ->transform(CLI::AsSizeValue(false))
      ->needs("--search")
      ->option_text("SIZE");
}

void add_simulation(CLI::App& command, PlanCommand& state) {
  SimulationOptions& options = state.simulation;
  options.steps = 0;
  command.add_option("--simulate", options.steps, "Simulate so many steps of all ranks")
      ->check(CLI::Range(1, 100000))
      ->option_text("STEPS");
  command
      .add_option("--timeline", state.timeline,
                  "Write a simulated step as a page (.html) or for Chrome's tracing (.json)")
      ->option_text("FILE");
  command
      .add_option("--straggling", options.straggling,
                  "Simulated: deviation of the logarithm of a rank's slowness in a step")
      ->check(finite_range(0.0, 10.0))
      ->option_text("X=0");
  command
      .add_option("--slow-share", options.slow_share, "Simulated: share of ranks that stay slow")
      ->check(finite_range(0.0, 1.0))
      ->option_text("SHARE=0");
  command.add_option("--slow-factor", options.slow_factor, "Simulated: how slow they are")
      ->check(finite_range(1.0, 1000.0))
      ->option_text("X=1.5");
  command
      .add_option("--skew", options.skew,
                  "Simulated: deviation of the logarithm of the experts' loads, up to capacity")
      ->check(finite_range(0.0, 10.0))
      ->option_text("X=0");
  command.add_option("--seed", options.seed, "Of the simulation")->option_text("N=1");
  command
      .add_option("--mtbf-hours", state.mtbf_hours,
                  "Mean time between failures of a rank: the best interval between checkpoints")
      ->check(finite_range(1e-3, 1e9))
      ->option_text("HOURS");
  command.add_option("--restart-minutes", state.restart_minutes, "From a failure to the next step")
      ->check(finite_range(0.0, 1e6))
      ->option_text("MINUTES=10");
}

}  // namespace

void add_plan_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand(
      "plan", "Parameters, memory, traffic and time of a training run on any mesh of machines");
  auto state = std::make_shared<PlanCommand>();
  add_inputs(*command, *state);
  add_search(*command, *state);
  add_simulation(*command, *state);
  command->add_flag("--json", state->json, "Print the plan as JSON");
  command->callback([state, &global] { run(*state, global.thread_count()); });
}

}  // namespace switchyard
