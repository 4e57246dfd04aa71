#include "bench/op_bench.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "base/progress.h"
#include "base/threads.h"
#include "bench/op_timer.h"
#include "train/gemm_rate.h"

namespace switchyard {
namespace {

std::string operation_of(const std::string& name) { return name.substr(0, name.find('/')); }

// The operations of `cases`, each once.
std::string operations(const std::vector<OpCase>& cases) {
  std::string list, last;
  for (const OpCase& c : cases) {
    const std::string operation = operation_of(c.name);
    if (operation == last) continue;
    list += (last.empty() ? "" : ", ") + operation;
    last = operation;
  }
  return list;
}

OpLimits measure_limits(const OpBenchOptions& options) {
  const double seconds = 3 * options.seconds;
  OpLimits limits;
  limits.gemm_bf16 = measure_gemm_rate(Precision::kBfloat16Selective, seconds);
  limits.gemm_fp32 = measure_gemm_rate(Precision::kFloat32, seconds);
  limits.memory = measure_memory_rates(
      options.working_set > 0 ? options.working_set : uncached_working_set(), seconds);
  return limits;
}

OpMeasurement measure(const OpCase& c, double seconds) {
  const PairTimes times = time_pair(c.prepare(), seconds);
  OpMeasurement measurement;
  measurement.name = c.name;
  measurement.type = c.type;
  measurement.work = c.work;
  measurement.seconds = times.ours;
  measurement.reference_seconds = times.reference;
  measurement.repeats = times.repeats;
  return measurement;
}

void raise_limit(OpLimits& limits, const OpMeasurement& measurement) {
  if (operation_of(measurement.name) != "gemm") return;
  double& rate = measurement.type == "bf16" ? limits.gemm_bf16 : limits.gemm_fp32;
  rate = std::max({rate, measurement.work.flops / measurement.seconds,
                   measurement.work.flops / measurement.reference_seconds});
}

}  // namespace

std::vector<OpCase> select_cases(std::vector<OpCase> cases, const std::vector<std::string>& only) {
  const auto has = [](const OpCase& c, const std::string& part) {
    return c.name.find(part) != std::string::npos;
  };
  for (const std::string& part : only) {
    if (std::any_of(cases.begin(), cases.end(), [&](const OpCase& c) { return has(c, part); })) {
      continue;
    }
    throw usage_error(format("no operation has \"{}\" in its name", part), "--only",
                      "take a part of a name in the table; operations: " + operations(cases));
  }
  if (only.empty()) return cases;
  std::erase_if(cases, [&](const OpCase& c) {
    return std::none_of(only.begin(), only.end(),
                        [&](const std::string& part) { return has(c, part); });
  });
  return cases;
}

void judge(OpMeasurement& measurement, const OpLimits& limits) {
  const OpWork& work = measurement.work;
  const double gemm_rate = measurement.type == "bf16" ? limits.gemm_bf16 : limits.gemm_fp32;
  const double products = work.flops / gemm_rate;
  const double memory = work.bytes / std::max(limits.memory.read, limits.memory.copy);
  measurement.share = std::max(products, memory) / measurement.seconds;
  if (products >= memory) {
    measurement.limit = "gemm";
  } else {
    measurement.limit = work.weight_bytes > work.bytes / 2 ? "weights" : "memory";
  }
}

OpBenchResult run_op_bench(const OpBenchOptions& options) {
  const std::vector<OpCase> cases = select_cases(all_op_cases(), options.only);
  OpBenchResult result;
  ProgressLine progress;
  progress.show("limits: products and memory", true);
  result.limits = measure_limits(options);
  // Half, because the C library keeps some of what earlier cases gave back.
  const double available = static_cast<double>(available_memory()) / 2;
  for (size_t i = 0; i < cases.size(); ++i) {
    progress.show(format("{} of {}: {}", i + 1, cases.size(), cases[i].name), true);
    if (cases[i].memory > available) {
      result.skipped.push_back(cases[i].name);
      continue;
    }
    result.ops.push_back(measure(cases[i], options.seconds));
    raise_limit(result.limits, result.ops.back());
  }
  for (OpMeasurement& measurement : result.ops) judge(measurement, result.limits);
  return result;
}

}  // namespace switchyard
