// Options of the subcommands that let a model answer, and the choice of those that may compute as
// it then does.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "infer/engine/engine_options.h"
#include "model/config.h"

namespace switchyard {

/// Adds --expert-memory. `options` must outlive the parse.
void add_engine_options(CLI::App& command, EngineOptions& options);

/// How `eval` and `score` compute.
struct Computation {
  bool engine;  // as `generate` does, over map_weights(); else as training does
  Precision precision;
};

/// Adds --engine. `engine` must outlive the parse.
void add_engine_flag(CLI::App& command, bool& engine);

/// `engine`: the flag; `precision`: as given, "" if it was not. A quantized model computes with its
/// integers, as only the engine can, unless a precision is given.
Computation choose_computation(const std::string& directory, bool engine,
                               const std::string& precision, const std::string& default_precision);

}  // namespace switchyard
