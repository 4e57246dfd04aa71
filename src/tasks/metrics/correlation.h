// Correlation of two series of the same size, at least 2: from -1 to 1, NaN where one of them is
// constant. Thread-safe.
#pragma once

#include <span>

namespace switchyard {

double pearson(std::span<const double> a, std::span<const double> b);
/// Pearson's of the ranks; equal values share the mean of theirs.
double spearman(std::span<const double> a, std::span<const double> b);

}  // namespace switchyard
