#include "bench/op_record.h"

#include <algorithm>
#include <vector>

#include "base/format.h"
#include "bench/record_reader.h"

namespace switchyard {
namespace {

nlohmann::json op_to_json(const OpMeasurement& op) {
  return {{"name", op.name},
          {"type", op.type},
          {"seconds", op.seconds},
          {"reference_seconds", op.reference_seconds},
          {"ratio", op.ratio()},
          {"repeats", op.repeats},
          {"flops", op.work.flops},
          {"bytes", op.work.bytes},
          {"weight_bytes", op.work.weight_bytes},
          {"flops_per_second", op.work.flops / op.seconds},
          {"bytes_per_second", op.work.bytes / op.seconds},
          {"limit", op.limit},
          {"share", op.share}};
}

OpMeasurement parse_op(const nlohmann::json& json, const std::string& path) {
  const RecordReader reader(json, path);
  OpMeasurement op;
  op.name = reader.get<std::string>("name");
  op.type = reader.get<std::string>("type");
  op.seconds = reader.get<double>("seconds");
  op.reference_seconds = reader.get<double>("reference_seconds");
  op.repeats = reader.get<int64_t>("repeats");
  op.work.flops = reader.get<double>("flops");
  op.work.bytes = reader.get<double>("bytes");
  op.work.weight_bytes = reader.get<double>("weight_bytes");
  op.limit = reader.get<std::string>("limit");
  op.share = reader.get<double>("share");
  return op;
}

const OpMeasurement* find_op(const OpBenchResult& result, const std::string& name) {
  const auto found = std::find_if(result.ops.begin(), result.ops.end(),
                                  [&](const OpMeasurement& op) { return op.name == name; });
  return found == result.ops.end() ? nullptr : &*found;
}

// Either may be null.
std::string op_line(const OpMeasurement* before, const OpMeasurement* after) {
  const auto time = [](const OpMeasurement* op) {
    return op != nullptr ? format("{:.3f} ms", op->seconds * 1e3) : std::string("-");
  };
  const auto ratio = [](const OpMeasurement* op) {
    return op != nullptr ? format("{:.2f}", op->ratio()) : std::string("-");
  };
  return format("{:<40}{:>12}{:>12}{:>9}{:>10}{:>10}\n", (after != nullptr ? after : before)->name,
                time(before), time(after),
                before != nullptr && after != nullptr
                    ? format("{:.3f}", after->seconds / before->seconds)
                    : std::string("-"),
                ratio(before), ratio(after));
}

std::string limit_line(const char* name, const char* unit, double scale, double before,
                       double after) {
  return format("{:<40}{:>12.3f}{:>12.3f}{:>9}\n", format("{}, {}", name, unit), before * scale,
                after * scale, before > 0 ? format("{:.3f}", after / before) : std::string("-"));
}

}  // namespace

nlohmann::json to_json(const OpRecord& record) {
  const OpLimits& limits = record.result.limits;
  nlohmann::json ops = nlohmann::json::array();
  for (const OpMeasurement& op : record.result.ops) ops.push_back(op_to_json(op));
  return {{"kind", "ops"},
          {"processor", record.processor},
          {"instructions", record.instructions},
          {"threads", record.threads},
          {"limits",
           {{"gemm_bf16", limits.gemm_bf16},
            {"gemm_fp32", limits.gemm_fp32},
            {"memory_read", limits.memory.read},
            {"memory_copy", limits.memory.copy}}},
          {"ops", ops},
          {"skipped", record.result.skipped}};
}

OpRecord parse_op_record(const nlohmann::json& json, const std::string& path) {
  const RecordReader reader(json, path);
  OpRecord record;
  record.processor = reader.get<std::string>("processor");
  record.instructions = reader.get<std::string>("instructions");
  record.threads = reader.get<int>("threads");
  const auto limits = reader.get<nlohmann::json>("limits");
  const RecordReader limit_reader(limits, path);
  OpBenchResult& result = record.result;
  result.limits.gemm_bf16 = limit_reader.get<double>("gemm_bf16");
  result.limits.gemm_fp32 = limit_reader.get<double>("gemm_fp32");
  result.limits.memory.read = limit_reader.get<double>("memory_read");
  result.limits.memory.copy = limit_reader.get<double>("memory_copy");
  for (const nlohmann::json& op : reader.get<nlohmann::json::array_t>("ops")) {
    result.ops.push_back(parse_op(op, path));
  }
  result.skipped = reader.get<std::vector<std::string>>("skipped");
  return record;
}

std::string compare_op_records(const OpRecord& before, const OpRecord& after) {
  std::string text;
  const auto warn = [&](const char* what, const std::string& one, const std::string& other) {
    text += difference_note(what, one, other);
  };
  warn("processor", before.processor, after.processor);
  warn("instructions", before.instructions, after.instructions);
  warn("threads", std::to_string(before.threads), std::to_string(after.threads));

  const OpBenchResult &a = before.result, &b = after.result;
  text += format("{:<40}{:>12}{:>12}{:>9}{:>20}\n", "", "before", "after", "ratio",
                 "faster than LibTorch");
  text += limit_line("bf16 products", "TFLOP/s", 1e-12, a.limits.gemm_bf16, b.limits.gemm_bf16);
  text += limit_line("fp32 products", "TFLOP/s", 1e-12, a.limits.gemm_fp32, b.limits.gemm_fp32);
  text += limit_line("memory read", "GB/s", 1e-9, a.limits.memory.read, b.limits.memory.read);
  text += limit_line("memory copied", "GB/s", 1e-9, a.limits.memory.copy, b.limits.memory.copy);
  for (const OpMeasurement& op : b.ops) text += op_line(find_op(a, op.name), &op);
  for (const OpMeasurement& op : a.ops) {
    if (find_op(b, op.name) == nullptr) text += op_line(&op, nullptr);
  }
  return text;
}

}  // namespace switchyard
