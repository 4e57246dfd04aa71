// switchyard bench: whole training steps on made-up ids, as a share of what the machine can do.
#include "commands.h"

#include <memory>

#include "base/format.h"
#include "base/machine.h"
#include "base/progress.h"
#include "data/span_corruption.h"
#include "train/bench_record.h"
#include "train/process_setup.h"
#include "train/step_bench.h"

namespace switchyard {
namespace {

struct BenchCommand {
  std::string shape = "mini";
  std::string recipe;
  std::vector<std::string> overrides;
  std::vector<std::string> compared;  // two files
  int64_t input_length = 0, target_length = 0, steps = 0;
  bool json = false;
};

/// The shapes that measurements of this project quote.
Recipe shape_recipe(const std::string& shape, StepBenchOptions& options) {
  Recipe recipe;
  ModelConfig& model = recipe.model;
  recipe.train.batch_sequences = 8;
  if (shape == "small") {
    model.d_model = 128;
    model.d_ff = 512;
    model.num_heads = 4;
    recipe.train.batch_sequences = 64;
    options.input_length = 128;
    options.target_length = 29;
  } else if (shape == "base8") {
    model.d_model = 768;
    model.d_ff = 3072;
    model.d_kv = 64;
    model.num_heads = 12;
    model.num_encoder_layers = model.num_decoder_layers = 12;
    model.vocab_size = 32128;
    recipe.train.batch_sequences = 4;
    options.input_length = 512;
    options.target_length = 128;
    options.steps = 5;
    options.warmup_steps = 1;
  }
  return recipe;
}

void print_table(const StepBenchResult& result) {
  fmt::print("\n{:<36}{:>12}{:>12}{:>9}\n", "part of a step", "forward ms", "backward ms", "share");
  double listed = 0;
  for (const StepPart& part : result.parts) {
    const auto milliseconds = [](double seconds) {
      return seconds > 0 ? format("{:.2f}", seconds * 1e3) : std::string("-");
    };
    fmt::print("{:<36}{:>12}{:>12}{:>7.1f} %\n", part.name, milliseconds(part.forward),
               milliseconds(part.backward), 100 * part.seconds() / result.profiled_seconds);
    listed += part.seconds();
  }
  fmt::print("{:<36}{:>12}{:>12}{:>7.1f} %\n", "not in any part", "", "",
             100 * (1 - listed / result.profiled_seconds));
}

void print_result(const StepBenchResult& result, const std::string& name, const Recipe& recipe,
                  const StepBenchOptions& options, int threads) {
  fmt::print("{}: {} parameters, {} experts, batch {} x {}/{}, {}, {} threads\n", name,
             format_count(result.parameters), recipe.model.moe.num_experts,
             recipe.train.batch_sequences, options.input_length, options.target_length,
             recipe.train.precision, threads);
  fmt::print("GEMM rate    {:.3f} TFLOP/s\n", result.gemm_rate * 1e-12);
  fmt::print("step         {:.1f} ms (median of {}; {:.1f} to {:.1f})\n", result.step_seconds * 1e3,
             options.steps, result.fastest * 1e3, result.slowest * 1e3);
  fmt::print("tokens/s     {}\n", format_count(static_cast<long long>(result.tokens_per_second)));
  fmt::print("share        {:.1f} % of the GEMM rate\n", 100 * result.gemm_share);
  fmt::print("dropped      {:.2f} % of routed tokens\n", 100 * result.dropped_share);
  fmt::print("peak memory  {}\n", format_bytes(static_cast<double>(result.peak_memory)));
  print_table(result);
}

void run(const BenchCommand& command, int threads) {
  if (!command.compared.empty()) {
    const BenchRecord before = read_bench_record(command.compared[0]);
    const BenchRecord after = read_bench_record(command.compared[1]);
    fmt::print("{}", compare_bench_records(before, after));
    return;
  }
  StepBenchOptions options;
  Recipe recipe = shape_recipe(command.shape, options);
  std::string name = command.shape;
  if (!command.recipe.empty()) {
    recipe = load_recipe(command.recipe, command.overrides);
    name = command.recipe;
    options.input_length = recipe.data.input_length;
    options.target_length = span_lengths(recipe.data.input_length, recipe.data.noise_density,
                                         recipe.data.mean_span_length)
                                .targets;
  } else {
    recipe.apply(command.overrides);
  }
  if (command.input_length > 0) options.input_length = command.input_length;
  if (command.target_length > 0) options.target_length = command.target_length;
  if (command.steps > 0) options.steps = command.steps;

  prepare_process(threads);
  const StepBenchResult result = run_step_bench(recipe, options);
  if (command.json) {
    fmt::print("{}\n",
               to_json({{name, processor_name(), recipe.train.precision, threads,
                         recipe.train.batch_sequences, options.input_length, options.target_length},
                        result})
                   .dump());
  } else {
    print_result(result, name, recipe, options, threads);
  }
}

}  // namespace

void add_bench_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand(
      "bench", "Time whole training steps: tokens/s, share of the GEMM rate, what each part costs");
  auto state = std::make_shared<BenchCommand>();
  command
      ->add_option("--shape", state->shape,
                   "mini: d 256, 4+4 layers, 8 experts, batch 8 x 256/64; small: d 128, batch "
                   "64 x 128/29; base8: Switch-Base with 8 experts, batch 4 x 512/128")
      ->check(CLI::IsMember({"mini", "small", "base8"}))
      ->option_text("NAME=mini");
  command
      ->add_option("--recipe", state->recipe, "Model, optimizer and batch of this recipe instead")
      ->option_text("FILE");
  command->add_option("--set", state->overrides, "Override a key of the recipe or shape")
      ->option_text("KEY=VALUE...");
  command->add_option("--input-length", state->input_length, "Encoder tokens of a sequence")
      ->check(CLI::Range(1, 1 << 20))
      ->option_text("N");
  command->add_option("--target-length", state->target_length, "Decoder tokens of a sequence")
      ->check(CLI::Range(1, 1 << 20))
      ->option_text("N");
  command->add_option("--steps", state->steps, "Timed steps")
      ->check(CLI::Range(1, 1000000))
      ->option_text("N=20");
  command->add_flag("--json", state->json, "Print the result as JSON");
  command
      ->add_option("--compare", state->compared,
                   "Measure nothing, whatever else is given: set two results of --json side by "
                   "side, with ratios")
      ->expected(2)
      ->option_text("BEFORE AFTER");
  command->callback([state, &global] { run(*state, global.thread_count()); });
}

}  // namespace switchyard
