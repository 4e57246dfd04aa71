#include "bench/op_table.h"

#include "base/format.h"

namespace switchyard {
namespace {

// The rate that the limit is about.
std::string rate_text(const OpMeasurement& measurement) {
  if (measurement.limit == "gemm") {
    return format("{:.3f} TFLOP/s", measurement.work.flops / measurement.seconds * 1e-12);
  }
  return format("{:.1f} GB/s", measurement.work.bytes / measurement.seconds * 1e-9);
}

}  // namespace

std::string limits_text(const OpLimits& limits) {
  return format(
      "{:.3f} TFLOP/s of bf16 products, {:.3f} of fp32; memory {:.1f} GB/s read, {:.1f} copied",
      limits.gemm_bf16 * 1e-12, limits.gemm_fp32 * 1e-12, limits.memory.read * 1e-9,
      limits.memory.copy * 1e-9);
}

std::string op_table(const OpBenchResult& result) {
  std::string text = format("limits: {}\n\n{:<40}{:>12}{:>16}{:>9} of {:<8}{:>12}{:>8}\n",
                            limits_text(result.limits), "operation", "time", "rate", "share",
                            "limit", "LibTorch", "ratio");
  for (const OpMeasurement& op : result.ops) {
    text += format("{:<40}{:>9.3f} ms{:>16}{:>7.1f} % of {:<8}{:>9.3f} ms{:>8.2f}\n", op.name,
                   op.seconds * 1e3, rate_text(op), 100 * op.share, op.limit,
                   op.reference_seconds * 1e3, op.ratio());
  }
  for (const std::string& name : result.skipped) {
    text += format("{:<40}left out: needs too much memory\n", name);
  }
  return text;
}

}  // namespace switchyard
