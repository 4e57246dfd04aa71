// switchyard quantize: a model directory -> one with weights of 8 bits.
#include "commands.h"

#include <csignal>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/progress.h"
#include "base/stop_signal.h"
#include "infer/quantize_model.h"
#include "train/process_setup.h"
#include "train/run_directory.h"

namespace switchyard {
namespace {

struct QuantizeCommand {
  std::string model, output;
  bool json = false;
};

std::string size_text(uint64_t bytes) { return format_bytes(static_cast<double>(bytes)); }

void run(const QuantizeCommand& command, int threads) {
  const std::string model = find_model_directory(command.model);
  prepare_process(threads);
  const Clock::time_point start = Clock::now();
  ProgressLine line;
  QuantizeOptions options;
  options.progress = [&](uint64_t done, uint64_t all) {
    if (stop_signal() != 0) throw runtime_failure("interrupted", command.output);
    line.show(format("quantize  {} of {}", size_text(done), size_text(all)));
  };
  install_stop_handlers();
  QuantizeResult result;
  try {
    result = quantize_model(model, command.output, options);
  } catch (const Error&) {
    line.clear();
    if (stop_signal() != 0) std::raise(stop_signal());  // handled by default now: 128 + signal
    throw;
  }
  line.clear();
  const double seconds = seconds_since(start);
  if (command.json) {
    const nlohmann::ordered_json object = {{"model", model},
                                           {"output", command.output},
                                           {"bytes_before", result.bytes_before},
                                           {"bytes_after", result.bytes_after},
                                           {"seconds", seconds}};
    fmt::print("{}\n", object.dump());
  } else {
    fmt::print("{}: {} of weights, from {}, in {}\n", command.output, size_text(result.bytes_after),
               size_text(result.bytes_before), format_duration(seconds));
  }
}

}  // namespace

void add_quantize_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand(
      "quantize", "Weights of 8 bits: a model that decodes faster in a quarter of the memory");
  command->footer(
      "Every matrix becomes integers with a scale for each output; routers, norms and biases stay "
      "float32. `generate` computes with the integers, and so do `eval` and `score` unless a "
      "--precision is given.");
  auto state = std::make_shared<QuantizeCommand>();
  command->add_option("--model", state->model, "Model directory, or a run: its newest checkpoint")
      ->required()
      ->option_text("DIR");
  command->add_option("--output", state->output, "Directory to make")
      ->required()
      ->option_text("DIR");
  command->add_flag("--json", state->json, "Print the result as JSON");
  command->callback([state, &global] { run(*state, global.thread_count()); });
}

}  // namespace switchyard
