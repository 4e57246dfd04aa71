// Costs of operations from measured times.
#pragma once

#include <vector>

#include "plan/machine.h"

namespace switchyard {

/// Work that took some time.
struct CostSample {
  Work work;
  double seconds = 0;
};

/// Costs >= 0 whose relative errors over the samples have the least squares.
OpCost fit_cost(const std::vector<CostSample>& samples);

}  // namespace switchyard
