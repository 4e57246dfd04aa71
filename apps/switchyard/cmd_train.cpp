// switchyard train: a recipe and prepared data -> a trained model in a run directory.
#include "commands.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/stop_signal.h"
#include "base/threads.h"
#include "comm/mesh.h"
#include "comm/world.h"
#include "train/process_setup.h"
#include "train/trainer.h"

namespace switchyard {
namespace {

struct TrainCommand {
  std::string recipe;
  std::vector<std::string> overrides;
  std::string run_directory;
  bool print_recipe = false;
  bool json = false;
};

nlohmann::ordered_json to_json(const TrainSummary& summary) {
  nlohmann::ordered_json object = {{"finished", summary.finished},
                                   {"step", summary.step},
                                   {"tokens", summary.tokens},
                                   {"seconds", summary.seconds},
                                   {"parameters", summary.parameters},
                                   {"gemm_rate", summary.gemm_rate},
                                   {"tokens_per_second", summary.tokens_per_second},
                                   {"checkpoint", summary.checkpoint}};
  if (summary.nlp) object["nlp"] = *summary.nlp;
  if (summary.signal != 0) object["signal"] = summary.signal;
  return object;
}

void print_summary(const TrainSummary& summary) {
  fmt::print("{} {} steps, {} tokens in {} ({} tokens/s)\n",
             summary.finished ? "finished" : "stopped after", format_count(summary.step),
             format_count(summary.tokens), format_duration(summary.seconds),
             format_count(static_cast<long long>(summary.tokens_per_second)));
  if (summary.nlp) fmt::print("held-out NLP {:.4f}\n", *summary.nlp);
  fmt::print("model in {}\n", summary.checkpoint);
  if (!summary.finished) fmt::print("the same command goes on from there\n");
}

/// A rank's share of the cores of its host, unless the launcher has bound it to some.
int threads_of_rank() {
  const int cores = available_cores();
  const bool bound = cores < ::sysconf(_SC_NPROCESSORS_ONLN);
  return bound ? cores : std::max(1, cores / World::ranks_on_host());
}

void tell(const TrainSummary& summary, bool json) {
  if (json) {
    fmt::print("{}\n", to_json(summary).dump());
  } else {
    print_summary(summary);
  }
  std::fflush(stdout);  // a launcher ends the others when the first rank has ended
}

/// Among the ranks of the recipe's mesh; rank 0 tells what came of it. What goes wrong here ends
/// all of them. Returns the signal that ended training early, or 0.
int train_on_mesh(const Recipe& recipe, TrainOptions options, bool json) {
  WorldOptions meeting;
  meeting.wait_seconds = recipe.mesh.wait_seconds;
  meeting.background = recipe.mesh.background;
  World world(meeting);
  try {
    const Mesh mesh(world, {recipe.mesh.data, recipe.mesh.expert, recipe.mesh.model},
                    recipe.mesh.exchange_chunks);
    if (!mesh.is_first()) set_log_level(LogLevel::kWarning);
    options.mesh = &mesh;
    const TrainSummary summary = train(recipe, options);
    if (mesh.is_first()) tell(summary, json);
    return summary.signal;
  } catch (const std::exception& error) {
    world.report_failure(error.what());
    throw;
  }
}

void run(const TrainCommand& command, int threads) {
  const Recipe recipe = load_recipe(command.recipe, command.overrides, command.run_directory);
  if (command.print_recipe) {
    fmt::print("{}", recipe.to_toml(/*with_help=*/true));
    return;
  }
  if (command.recipe.empty()) {
    throw usage_error(
        "no recipe", "--recipe",
        "name one; `switchyard train --print-recipe > recipe.toml` makes one to start from");
  }
  if (command.run_directory.empty()) {
    throw usage_error("no run directory", "--run-dir", "name a directory to make");
  }
  prepare_process(threads);
  install_stop_handlers();
  const int signal =
      train_on_mesh(recipe, {command.run_directory, threads, SWITCHYARD_VERSION}, command.json);
  if (signal != 0) throw ExitCode{128 + signal};
}

}  // namespace

void add_train_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command =
      app.add_subcommand("train", "Train as a recipe says; go on with a run that was cut off");
  auto state = std::make_shared<TrainCommand>();
  command->add_option("--recipe", state->recipe, "Recipe, a TOML file")->option_text("FILE");
  command->add_option("--set", state->overrides, "Override a key of the recipe: section.key=value")
      ->option_text("KEY=VALUE...");
  command
      ->add_option("--run-dir", state->run_directory,
                   "Directory of the run: made, or taken up where it stopped")
      ->option_text("DIR");
  command->add_flag("--print-recipe", state->print_recipe,
                    "Print the complete recipe with defaults and help, then end");
  command->add_flag("--json", state->json, "Print the summary as JSON");
  command->callback(
      [state, &global] { run(*state, global.threads > 0 ? global.threads : threads_of_rank()); });
}

}  // namespace switchyard
