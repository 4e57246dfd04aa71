// The result of `bench --ops` as a file, and two such files side by side.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "bench/op_bench.h"

namespace switchyard {

struct OpRecord {
  std::string processor;
  std::string instructions;  // the set that kernels ran with
  int threads = 0;
  OpBenchResult result;
};

nlohmann::json to_json(const OpRecord& record);

/// Throws a usage Error that names `path`, where `json` came from, and the key that is missing or
/// of the wrong type.
OpRecord parse_op_record(const nlohmann::json& json, const std::string& path);

/// A table of both: limits, then operations, those of `after` first, each with the ratio of times
/// after / before and with the ratios to LibTorch of both runs, which say more where the machine
/// was not equally busy. Says where the runs are not alike. Ends with a newline.
std::string compare_op_records(const OpRecord& before, const OpRecord& after);

}  // namespace switchyard
