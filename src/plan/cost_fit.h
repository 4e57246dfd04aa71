// Costs of operations from measured times.
#pragma once

#include <vector>

#include "plan/machine.h"
#include "plan/op.h"

namespace switchyard {

/// Work that took some time.
struct CostSample {
  Work work;
  double seconds = 0;
};

/// Costs >= 0 whose relative errors over the samples have the least squares.
OpCost fit_cost(const std::vector<CostSample>& samples);

/// What the samples say beside those costs, samples of one shape taken together.
std::vector<ShapeClass> fit_classes(const std::vector<CostSample>& samples, const OpCost& cost);

/// Seconds that the costs give.
double cost_seconds(const OpCost& cost, const Work& work);

/// Ratio for work of any shape: the mean of the classes near to it, 1 far from all of them.
double class_ratio(const std::vector<ShapeClass>& classes, const Work& work);

}  // namespace switchyard
