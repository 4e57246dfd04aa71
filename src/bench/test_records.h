// Records that tests write, read and compare.
#pragma once

#include "bench/op_record.h"
#include "bench/step_record.h"

namespace switchyard::testing {

inline StepRecord some_step_record() {
  StepRecord record{{"mini", "Test 9000", "bf16-selective", 2, 8, 256, 64}, {}};
  record.result.parameters = 1234567;
  record.result.gemm_rate = 1.5e12;
  record.result.step_seconds = 0.2;
  record.result.fastest = 0.19;
  record.result.slowest = 0.25;
  record.result.tokens_per_second = 12800;
  record.result.gemm_share = 0.5;
  record.result.dropped_share = 0.125;
  record.result.peak_memory = 1 << 30;
  record.result.loss = 9.5;
  record.result.profiled_seconds = 0.21;
  record.result.parts = {{"experts", 0.05, 0.1}, {"norm", 0.01, 0.02}};
  return record;
}

inline OpRecord some_op_record() {
  OpRecord record{"Test 9000", "avx512bf16", 2, {}};
  record.result.limits = {1.5e12, 2e11, {2e10, 1.5e10}};
  record.result.ops = {
      {"gemm/bf16/8x8x8/fwd", "bf16", {1e9, 1e6, 5e5}, 0.001, 0.002, 20, "gemm", 0.6},
      {"dropout/8x8/fwd", "bf16", {0, 1e6, 0}, 0.0001, 0.0004, 30, "memory", 0.5},
  };
  record.result.skipped = {"experts/large"};
  return record;
}

}  // namespace switchyard::testing
