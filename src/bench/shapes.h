// The named shapes that measurements of this project quote.
#pragma once

#include <string>
#include <vector>

#include "bench/step_bench.h"

namespace switchyard {

struct BenchShape {
  std::string name;
  std::string text;  // what it is, in a few words
  Recipe recipe;
  StepBenchOptions options;
};

/// All of them, smallest model first.
const std::vector<BenchShape>& bench_shapes();

/// Throws Error(kUsage) for an unknown name.
const BenchShape& bench_shape(const std::string& name);

}  // namespace switchyard
