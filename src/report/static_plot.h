// A plot that needs no script: held-out NLP against steps.
#pragma once

#include <string>
#include <vector>

#include "report/comparison.h"

namespace switchyard {

/// An <svg> element whose colours come from the page's style (classes c0 to c7); "" if no run has
/// two evaluations.
std::string static_plot(const std::vector<RunData>& runs, const Comparison& comparison);

/// Round positions for about `count` marks of an axis within [low, high].
std::vector<double> axis_marks(double low, double high, int count);

}  // namespace switchyard
