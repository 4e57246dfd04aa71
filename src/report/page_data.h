// What the page's script draws from, as JSON.
#pragma once

#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "report/comparison.h"

namespace switchyard {

/// Curves (thinned, 6 significant digits), router loads (two characters per cell, decoded in
/// page/report.js), groups with their mean curves, and the baseline's level.
nlohmann::ordered_json page_data(const std::vector<RunData>& runs, const Comparison& comparison);

/// All numbers of the tables, for `report --json`; NaN becomes null.
nlohmann::ordered_json results_json(const std::vector<RunData>& runs, const Comparison& comparison);

/// Evaluations averaged over the runs of a group, at those steps that all of them have evaluated.
std::vector<EvalPoint> mean_curve(const std::vector<RunData>& runs, const Group& group);

/// Each share in [0, 1] as two characters: 4095 x its square root, rounded, in base 64 (A-Z a-z 0-9
/// - _). Relative error 0.8 % at 1/256.
std::string encode_shares(const std::vector<double>& shares);

}  // namespace switchyard
