#include "engine_command.h"

#include "model/model_directory.h"

namespace switchyard {

void add_engine_options(CLI::App& command, EngineOptions& options) {
  command
      .add_option("--expert-memory", options.expert_memory,
                  "Most memory for experts' weights, e.g. 2GiB: those unused for longest are given "
                  "up and read again when they are chosen. Changes no answer; default: no bound")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 60))
      ->option_text("SIZE");
}

void add_engine_flag(CLI::App& command, bool& engine) {
  command.add_flag("--engine", engine,
                   "Compute as `generate` does, one id at a time: no token is dropped for want of "
                   "capacity. Quantized models do so by themselves unless a --precision is given");
}

Computation choose_computation(const std::string& directory, bool engine,
                               const std::string& precision, const std::string& default_precision) {
  if (!precision.empty()) return {engine, parse_precision(precision)};
  if (read_model_description(directory).quantization != Quantization::kNone) {
    return {true, Precision::kBfloat16Selective};
  }
  return {engine, parse_precision(default_precision)};
}

}  // namespace switchyard
