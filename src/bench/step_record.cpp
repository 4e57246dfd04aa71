#include "bench/step_record.h"

#include <algorithm>
#include <limits>

#include "base/format.h"
#include "base/progress.h"
#include "bench/record_reader.h"

namespace switchyard {
namespace {

std::string ratio_of(double before, double after) {
  return before > 0 && after > 0 ? format("{:.3f}", after / before) : std::string("-");
}

const StepPart* find_part(const StepBenchResult& result, const std::string& name) {
  const auto found = std::find_if(result.parts.begin(), result.parts.end(),
                                  [&](const StepPart& part) { return part.name == name; });
  return found == result.parts.end() ? nullptr : &*found;
}

std::string line(const std::string& name, const std::string& before, const std::string& after,
                 const std::string& ratio) {
  return format("{:<36}{:>14}{:>14}{:>10}\n", name, before, after, ratio);
}

std::string milliseconds_line(const std::string& name, double before, double after) {
  const auto text = [](double seconds) {
    return seconds > 0 ? format("{:.2f} ms", seconds * 1e3) : std::string("-");
  };
  return line(name, text(before), text(after), ratio_of(before, after));
}

}  // namespace

nlohmann::json to_json(const StepRecord& record) {
  const StepBenchResult& result = record.result;
  nlohmann::json parts = nlohmann::json::array();
  for (const StepPart& part : result.parts) {
    parts.push_back({{"name", part.name}, {"forward", part.forward}, {"backward", part.backward}});
  }
  const StepSetting& setting = record.setting;
  return {{"kind", "step"},
          {"shape", setting.shape},
          {"processor", setting.processor},
          {"precision", setting.precision},
          {"threads", setting.threads},
          {"batch_sequences", setting.batch_sequences},
          {"input_length", setting.input_length},
          {"target_length", setting.target_length},
          {"parameters", result.parameters},
          {"gemm_rate", result.gemm_rate},
          {"step_seconds", result.step_seconds},
          {"fastest", result.fastest},
          {"slowest", result.slowest},
          {"tokens_per_second", result.tokens_per_second},
          {"gemm_share", result.gemm_share},
          {"dropped_share", result.dropped_share},
          {"peak_memory", result.peak_memory},
          {"loss", result.loss},
          {"profiled_seconds", result.profiled_seconds},
          {"parts", parts}};
}

StepRecord parse_step_record(const nlohmann::json& json, const std::string& path) {
  const RecordReader reader(json, path);
  StepRecord record;
  StepBenchResult& result = record.result;
  record.setting.shape = reader.get<std::string>("shape");
  record.setting.processor = reader.get<std::string>("processor");
  record.setting.precision = reader.get<std::string>("precision");
  record.setting.threads = reader.get<int>("threads");
  record.setting.batch_sequences = reader.get<int64_t>("batch_sequences");
  record.setting.input_length = reader.get<int64_t>("input_length");
  record.setting.target_length = reader.get<int64_t>("target_length");
  result.parameters = reader.get<int64_t>("parameters");
  result.gemm_rate = reader.get<double>("gemm_rate");
  result.step_seconds = reader.get<double>("step_seconds");
  result.fastest = reader.get<double>("fastest");
  result.slowest = reader.get<double>("slowest");
  result.tokens_per_second = reader.get<double>("tokens_per_second");
  result.gemm_share = reader.get<double>("gemm_share");
  result.dropped_share = reader.get<double>("dropped_share");
  result.peak_memory = reader.get<unsigned long long>("peak_memory");
  // JSON has no NaN: a training that diverged has null there.
  result.loss = reader.get<nlohmann::json>("loss").is_null()
                    ? std::numeric_limits<double>::quiet_NaN()
                    : reader.get<double>("loss");
  result.profiled_seconds = reader.get<double>("profiled_seconds");
  for (const nlohmann::json& part : reader.get<nlohmann::json::array_t>("parts")) {
    const RecordReader part_reader(part, path);
    result.parts.push_back({part_reader.get<std::string>("name"),
                            part_reader.get<double>("forward"),
                            part_reader.get<double>("backward")});
  }
  return record;
}

std::string compare_step_records(const StepRecord& before, const StepRecord& after) {
  const StepBenchResult &a = before.result, &b = after.result;
  std::string text;
  const auto warn = [&](const char* what, const std::string& one, const std::string& other) {
    text += difference_note(what, one, other);
  };
  const auto warn_number = [&](const char* what, int64_t one, int64_t other) {
    warn(what, std::to_string(one), std::to_string(other));
  };
  const StepSetting &old_setting = before.setting, &new_setting = after.setting;
  warn("shape", old_setting.shape, new_setting.shape);
  warn("processor", old_setting.processor, new_setting.processor);
  warn("precision", old_setting.precision, new_setting.precision);
  warn_number("threads", old_setting.threads, new_setting.threads);
  warn_number("batch", old_setting.batch_sequences, new_setting.batch_sequences);
  warn_number("input length", old_setting.input_length, new_setting.input_length);
  warn_number("target length", old_setting.target_length, new_setting.target_length);
  warn_number("parameters", a.parameters, b.parameters);

  text += line("", "before", "after", "ratio");
  text += milliseconds_line("step (median)", a.step_seconds, b.step_seconds);
  text += milliseconds_line("fastest step", a.fastest, b.fastest);
  const auto count = [](double value) { return format_count(static_cast<long long>(value)); };
  text += line("tokens/s", count(a.tokens_per_second), count(b.tokens_per_second),
               ratio_of(a.tokens_per_second, b.tokens_per_second));
  text += line("GEMM rate, TFLOP/s", format("{:.3f}", a.gemm_rate * 1e-12),
               format("{:.3f}", b.gemm_rate * 1e-12), ratio_of(a.gemm_rate, b.gemm_rate));
  text += line("share of the GEMM rate", format("{:.1f} %", 100 * a.gemm_share),
               format("{:.1f} %", 100 * b.gemm_share), ratio_of(a.gemm_share, b.gemm_share));
  const auto bytes = [](unsigned long long value) {
    return format_bytes(static_cast<double>(value));
  };
  text += line("peak memory", bytes(a.peak_memory), bytes(b.peak_memory),
               ratio_of(static_cast<double>(a.peak_memory), static_cast<double>(b.peak_memory)));
  for (const StepPart& part : b.parts) {
    const StepPart* old = find_part(a, part.name);
    text += milliseconds_line(part.name, old != nullptr ? old->seconds() : 0, part.seconds());
  }
  for (const StepPart& part : a.parts) {
    if (find_part(b, part.name) == nullptr) text += milliseconds_line(part.name, part.seconds(), 0);
  }
  return text;
}

}  // namespace switchyard
