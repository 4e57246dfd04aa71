// Single operations: how fast, how near to what the machine can do, and against plain LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/cases/op_case.h"
#include "bench/memory_rate.h"

namespace switchyard {

struct OpBenchOptions {
  std::vector<std::string> only;  // parts of names, any of which is enough; empty: everything
  double seconds = 0.3;           // for each side of each operation (op_timer.h)
  int64_t working_set = 0;        // of the memory rates, bytes; 0: uncached_working_set()
};

/// The yardsticks, measured in the same run.
struct OpLimits {
  double gemm_bf16 = 0, gemm_fp32 = 0;  // FLOP/s: the best of the gemm cases, ours or LibTorch's
  MemoryRates memory;
};

struct OpMeasurement {
  std::string name, type;  // as in OpCase
  OpWork work;
  double seconds = 0, reference_seconds = 0;  // medians
  int64_t repeats = 0;
  // "gemm", "memory", or "weights": memory, most of it weights and their gradients (few rows)
  std::string limit;
  double share = 0;  // of the limit; above 1 where caches hold what counts as memory
  /// How many times faster than LibTorch.
  double ratio() const { return reference_seconds / seconds; }
};

struct OpBenchResult {
  OpLimits limits;
  std::vector<OpMeasurement> ops;
  std::vector<std::string> skipped;  // names of cases that do not fit into memory
};

/// Those of `cases` that `only` asks for. Throws Error(kUsage), naming the operations there are,
/// when a part is in no name.
std::vector<OpCase> select_cases(std::vector<OpCase> cases, const std::vector<std::string>& only);

/// Fills limit and share of a measurement.
void judge(OpMeasurement& measurement, const OpLimits& limits);

/// Measures limits, then all_op_cases() as far as `options` asks for them. The GEMM rates are the
/// best of two squares and of the gemm cases that ran.
OpBenchResult run_op_bench(const OpBenchOptions& options);

}  // namespace switchyard
