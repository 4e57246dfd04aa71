// The result of timed training steps as a file, and two such files side by side.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "bench/step_bench.h"

namespace switchyard {

/// What was measured, and where.
struct StepSetting {
  std::string shape;  // its name, or the recipe's
  std::string processor;
  std::string precision;
  int threads = 0;
  int64_t batch_sequences = 0;
  int64_t input_length = 0, target_length = 0;  // tokens of a sequence
};

struct StepRecord {
  StepSetting setting;
  StepBenchResult result;
};

nlohmann::json to_json(const StepRecord& record);

/// Throws a usage Error that names `path`, where `json` came from, and the key that is missing or
/// of the wrong type.
StepRecord parse_step_record(const nlohmann::json& json, const std::string& path);

/// A table of both, each line with the ratio after / before, ends with a newline: whole step,
/// tokens/s, memory, then the parts, those of `after` first. Says which of the setting and the
/// number of parameters are not the same in both, since the ratio then does not compare programs.
std::string compare_step_records(const StepRecord& before, const StepRecord& after);

}  // namespace switchyard
