// Options of the subcommands that read text.
#pragma once

#include <CLI/CLI.hpp>

#include "data/record_reader.h"

namespace switchyard {

/// Adds --input and how to read it. `options` must outlive the parse.
void add_read_options(CLI::App& command, ReadOptions& options);

}  // namespace switchyard
