// Metrics of classes, given as integers; any number may stand for "none of them". Results are
// shares from 0 to 1 (Matthews: -1 to 1). `targets` and `predictions` have the same size, above 0.
// Thread-safe.
#pragma once

#include <span>

namespace switchyard {

double accuracy(std::span<const int> targets, std::span<const int> predictions);

/// F1 of class 1 of 0 and 1; a prediction that is neither counts as the wrong one of the two.
double binary_f1(std::span<const int> targets, std::span<const int> predictions);

/// Mean over classes 0 to classes - 1 of their F1; 0 for a class that is neither wanted nor given.
double macro_f1(std::span<const int> targets, std::span<const int> predictions, int classes);

/// Matthews' correlation, of any number of classes; 0 where it is not defined.
double matthews(std::span<const int> targets, std::span<const int> predictions);

}  // namespace switchyard
