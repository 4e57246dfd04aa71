// What operations cost on this machine: training steps of some small models, profiled, give the
// times from which the rates of each kind are fitted.
#pragma once

#include <string>
#include <vector>

#include "plan/machine.h"
#include "train/recipe.h"

namespace switchyard {

/// The models whose steps are timed: widths from 64 to 512, two to 32 experts, all optimizers.
std::vector<Recipe> calibration_recipes(bool wide);

/// Costs of the kinds of operations that steps of these models have, from `steps` of each.
struct MeasuredCosts {
  OpCosts costs{};
  ShapeClasses classes;
};
MeasuredCosts measure_costs(const std::vector<Recipe>& recipes, int64_t steps);

struct CalibrationOptions {
  int64_t steps = 8;                // profiled ones of each model
  bool narrow = true, wide = true;  // bfloat16, float32
};

/// Rates of this machine with the threads set for LibTorch: products, memory, and the costs of all
/// kinds of operations; takes some ten seconds a precision. `base_bytes` counts the heap
/// that the process has when it is called: call it first.
Machine measure_this_machine(const CalibrationOptions& options = {});

}  // namespace switchyard
