// The result of a benchmark as a file, and two such files side by side.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "train/step_bench.h"

namespace switchyard {

/// What was measured, and where.
struct BenchSetting {
  std::string shape;  // its name, or the recipe's
  std::string processor;
  std::string precision;
  int threads = 0;
  int64_t batch_sequences = 0;
  int64_t input_length = 0, target_length = 0;  // tokens of a sequence
};

struct BenchRecord {
  BenchSetting setting;
  StepBenchResult result;
};

nlohmann::json to_json(const BenchRecord& record);

/// Reads what `bench --json` printed. Throws a usage Error that names the file and the key that is
/// missing or of the wrong type.
BenchRecord read_bench_record(const std::string& path);

/// A table of both, each line with the ratio after / before, ends with a newline: whole step,
/// tokens/s, memory, then the parts, those of `after` first. Says which of the setting and the
/// number of parameters are not the same in both, since the ratio then does not compare programs.
std::string compare_bench_records(const BenchRecord& before, const BenchRecord& after);

}  // namespace switchyard
