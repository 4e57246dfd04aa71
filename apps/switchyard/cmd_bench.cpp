// switchyard bench: whole training steps on made-up ids, or single operations, as a share of what
// the machine can do.
#include "commands.h"

#include <memory>

#include "base/format.h"
#include "base/machine.h"
#include "base/progress.h"
#include "bench/checkpoint_bench.h"
#include "bench/compare_files.h"
#include "bench/decode_bench.h"
#include "bench/finetune_bench.h"
#include "bench/op_bench.h"
#include "bench/op_record.h"
#include "bench/op_table.h"
#include "bench/shapes.h"
#include "bench/step_record.h"
#include "data/span_corruption.h"
#include "kernels/cpu_features.h"
#include "train/process_setup.h"

namespace switchyard {
namespace {

struct BenchCommand {
  std::string shape = "mini";
  std::string recipe;
  std::vector<std::string> overrides;
  std::vector<std::string> compared;  // two files
  int64_t input_length = 0, target_length = 0, steps = 0;
  std::string checkpoint_folder;
  bool ops = false, decode = false, int8 = false, finetuning = false;
  int64_t batch = 1;
  OpBenchOptions op_options;
  bool json = false;
};

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

void print_checkpoints(const CheckpointBenchResult& result) {
  constexpr double kMinute = 60;
  const auto line = [](const char* name, double seconds) {
    fmt::print("{:<28}{:>10.1f} ms  {:.3f} % of a minute\n", name, seconds * 1e3,
               100 * seconds / kMinute);
  };
  fmt::print("a checkpoint: {} of weights and optimizer state; a step without one: {:.1f} ms\n",
             format_bytes(static_cast<double>(result.bytes)), result.step_seconds * 1e3);
  line("training stopped for it", result.stopped);
  line("in the background: waited", result.stall);
  line("and slower steps: all in all", result.extra);
  fmt::print("{:<28}{:>10} copied, {:.1f} % of it\n", "memory",
             format_bytes(static_cast<double>(result.copied_bytes)),
             100.0 * static_cast<double>(result.copied_bytes) / static_cast<double>(result.bytes));
}

void run_ops(const BenchCommand& command, int threads) {
  prepare_process(threads);
  const OpRecord record{processor_name(), kernels::isa_name(kernels::best_isa()), threads,
                        run_op_bench(command.op_options)};
  if (command.json) {
    fmt::print("{}\n", to_json(record).dump());
  } else {
    fmt::print("{}, {}, {} threads\n{}", record.processor, record.instructions, threads,
               op_table(record.result));
  }
}

void run_decode(const BenchCommand& command, int threads) {
  Recipe recipe = bench_shape(command.shape).recipe;
  recipe.apply(command.overrides);
  const WeightType weights =
      command.int8 ? WeightType::kInt8 : decode_weights(recipe.train.precision);
  DecodeRecord record{command.shape,
                      processor_name(),
                      command.int8 ? "int8" : recipe.train.precision,
                      threads,
                      {},
                      {}};
  record.options.batch = command.batch;
  if (command.input_length > 0) record.options.input_length = command.input_length;
  if (command.target_length > 0) record.options.new_tokens = command.target_length;
  if (command.steps > 0) record.options.rounds = command.steps;
  prepare_process(threads);
  record.result = run_decode_bench(recipe.model, weights, record.options);
  fmt::print("{}", command.json ? to_json(record).dump() + "\n" : decode_table(record));
}

void run_finetuning(const BenchCommand& command, int threads) {
  constexpr int64_t kRows = 16, kInputs = 256, kTargets = 64;
  Recipe recipe = bench_shape(command.shape).recipe;
  recipe.train.batch_sequences = kRows;
  recipe.data.input_length = command.input_length > 0 ? command.input_length : kInputs;
  recipe.data.target_length = command.target_length > 0 ? command.target_length : kTargets;
  recipe.apply(command.overrides);
  FinetuneBenchOptions options;
  if (command.steps > 0) options.steps = command.steps;
  prepare_process(threads);
  const FinetuneBenchResult result = run_finetune_bench(recipe, options);
  if (command.json) {
    fmt::print("{}\n", to_json(result).dump());
    return;
  }
  fmt::print("{}, rows of {} + {} tokens, {} a step, {}, {} threads\n{}", command.shape,
             recipe.data.input_length, recipe.data.target_length, recipe.train.batch_sequences,
             recipe.train.precision, threads, finetune_table(result));
}

void run_steps(const BenchCommand& command, int threads) {
  const BenchShape& shape = bench_shape(command.shape);
  StepBenchOptions options = shape.options;
  Recipe recipe = shape.recipe;
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
  if (!command.checkpoint_folder.empty()) {
    const CheckpointBenchResult result =
        run_checkpoint_bench(recipe, {options, command.checkpoint_folder});
    if (command.json) {
      fmt::print("{}\n", to_json(result).dump());
    } else {
      print_checkpoints(result);
    }
    return;
  }
  const StepBenchResult result = run_step_bench(recipe, options);
  if (command.json) {
    const StepRecord record{
        {name, processor_name(), recipe.train.precision, threads, recipe.train.batch_sequences,
         options.input_length, options.target_length},
        result};
    fmt::print("{}\n", to_json(record).dump());
  } else {
    print_result(result, name, recipe, options, threads);
  }
}

void run(const BenchCommand& command, int threads) {
  if (!command.compared.empty()) {
    fmt::print("{}", compare_bench_files(command.compared[0], command.compared[1]));
  } else if (command.ops) {
    run_ops(command, threads);
  } else if (command.decode) {
    run_decode(command, threads);
  } else if (command.finetuning) {
    run_finetuning(command, threads);
  } else {
    run_steps(command, threads);
  }
}

}  // namespace

void add_bench_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command =
      app.add_subcommand("bench",
                         "Time whole training steps (tokens/s, share of the GEMM "
                         "rate, what each part costs), fine-tuning, decoding or single "
                         "operations");
  auto state = std::make_shared<BenchCommand>();
  std::string shapes;
  for (const BenchShape& shape : bench_shapes()) {
    shapes += (shapes.empty() ? "" : "; ") + shape.text;
  }
  CLI::Option* decode = command->add_flag("--decode", state->decode,
                                          "Time greedy decoding of made-up weights instead: "
                                          "tokens/s, time to the first token, share of "
                                          "what reading the weights allows. --input-length and "
                                          "--target-length (64 each by default) are "
                                          "ids in and out, --steps whole batches (5)");
  command->add_option("--batch", state->batch, "With --decode: inputs decoded together")
      ->needs(decode)
      ->check(CLI::Range(1, 1 << 16))
      ->option_text("N=1");
  command->add_flag("--int8", state->int8, "With --decode: weights as `quantize` makes them")
      ->needs(decode);
  const std::vector<CLI::Option*> of_steps = {
      command->add_option("--shape", state->shape, shapes)->option_text("NAME=mini"),
      command
          ->add_option("--recipe", state->recipe,
                       "Model, optimizer and batch of this recipe instead")
          ->option_text("FILE"),
      command->add_option("--set", state->overrides, "Override a key of the recipe or shape")
          ->option_text("KEY=VALUE..."),
      command->add_option("--input-length", state->input_length, "Encoder tokens of a sequence")
          ->check(CLI::Range(1, 1 << 20))
          ->option_text("N"),
      command->add_option("--target-length", state->target_length, "Decoder tokens of a sequence")
          ->check(CLI::Range(1, 1 << 20))
          ->option_text("N"),
      command->add_option("--steps", state->steps, "Timed steps")
          ->check(CLI::Range(1, 1000000))
          ->option_text("N=by the shape"),
      command
          ->add_option("--checkpoint", state->checkpoint_folder,
                       "Time checkpoints instead, written below this folder while steps go on: how "
                       "long training waits")
          ->option_text("DIR")};
  CLI::Option* ops = command->add_flag(
      "--ops", state->ops,
      "Time each operation alone instead, next to plain LibTorch: products, attention, experts, "
      "router, norm, dropout, embedding, cross-entropy, optimizers. Share of what limits it: the "
      "GEMM rate, memory, or memory for weights (few rows)");
  for (CLI::Option* option : of_steps) option->excludes(ops);
  decode->excludes(ops);
  command
      ->add_flag(
          "--finetuning", state->finetuning,
          "Time steps on short made-up examples instead, several to a row and one to a row, "
          "and answers as decoded in evaluation. --input-length and --target-length (256 and "
          "64) are those of a row")
      ->excludes(ops)
      ->excludes(decode)
      ->excludes(of_steps[1]);
  decode->excludes(of_steps[1]);  // --recipe
  command
      ->add_option("--only", state->op_options.only,
                   "With --ops: only operations whose names contain one of these, e.g. experts "
                   "d256/fwd+bwd")
      ->needs(ops)
      ->option_text("PART...");
  command
      ->add_option("--seconds", state->op_options.seconds,
                   "With --ops: time for each operation, and as much for LibTorch's")
      ->needs(ops)
      ->check(CLI::Range(0.001, 3600.0))
      ->option_text("S=0.3");
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
