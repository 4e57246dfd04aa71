// The result of `bench --ops` for people.
#pragma once

#include <string>

#include "bench/op_bench.h"

namespace switchyard {

/// Limits, then a line for each operation, then what was left out; ends with a newline.
std::string op_table(const OpBenchResult& result);

/// "1.234 TFLOP/s of bf16 products, 0.234 of fp32; memory 20.1 GB/s read, 19.0 copied".
std::string limits_text(const OpLimits& limits);

}  // namespace switchyard
