// Which data and tokens each expert gets (docs/formats.md, "Run directory").
#pragma once

#include <cstdint>
#include <string>

#include "text/tokenizer.h"
#include "train/evaluator.h"

namespace switchyard {

constexpr const char* kSpecializationFile = "specialization.json";

/// Writes the loads by layer and source of an evaluation and the tokens that tell most of each
/// expert into the run, in place of those of an earlier one. `tokenizer` names the tokens; null:
/// they have no names. Nothing to write for a dense model. Throws Error if it cannot be written.
void write_specialization(const std::string& run_directory, int64_t step,
                          const RunEvaluation& evaluation, const Tokenizer* tokenizer);

}  // namespace switchyard
