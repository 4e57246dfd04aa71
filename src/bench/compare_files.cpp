#include "bench/compare_files.h"

#include <variant>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/json.h"
#include "bench/op_record.h"
#include "bench/record_reader.h"
#include "bench/step_record.h"

namespace switchyard {
namespace {

using Record = std::variant<StepRecord, OpRecord>;

Record read_record(const std::string& path) {
  const nlohmann::json json = parse_json(read_file(path), path, ErrorKind::kUsage);
  // The first records were of steps and did not say so.
  const std::string kind =
      json.contains("kind") ? RecordReader(json, path).get<std::string>("kind") : "step";
  if (kind == "step") return parse_step_record(json, path);
  if (kind == "ops") return parse_op_record(json, path);
  throw usage_error(format("\"kind\" is \"{}\", which this version does not know", kind), path,
                    "give what `bench --json` printed");
}

const char* content(const Record& record) {
  return std::holds_alternative<StepRecord>(record) ? "whole steps" : "single operations (--ops)";
}

}  // namespace

std::string compare_bench_files(const std::string& before_path, const std::string& after_path) {
  const Record before = read_record(before_path), after = read_record(after_path);
  if (before.index() != after.index()) {
    throw usage_error(
        format("one file is about {}, the other about {}", content(before), content(after)),
        before_path + ", " + after_path, "give two results of the same kind");
  }
  if (std::holds_alternative<StepRecord>(before)) {
    return compare_step_records(std::get<StepRecord>(before), std::get<StepRecord>(after));
  }
  return compare_op_records(std::get<OpRecord>(before), std::get<OpRecord>(after));
}

}  // namespace switchyard
