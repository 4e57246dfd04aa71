#include "plan/cost_fit.h"

#include <algorithm>

namespace switchyard {

// Coordinate descent: with four unknowns, and columns scaled to their largest share of a sample,
// a few thousand rounds are far beyond what measured times deserve.
OpCost fit_cost(const std::vector<CostSample>& samples) {
  constexpr int kRounds = 5000;
  std::vector<OpCost> rows;
  OpCost scale{};
  for (const CostSample& sample : samples) {
    if (sample.seconds <= 0) continue;
    OpCost row = sample.work.terms();
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] /= sample.seconds;
      scale[i] = std::max(scale[i], row[i]);
    }
    rows.push_back(row);
  }
  OpCost cost{};
  for (OpCost& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) row[i] /= scale[i] > 0 ? scale[i] : 1;
  }
  std::vector<double> rest(rows.size(), 1.0);  // 1 - row . cost
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < cost.size(); ++i) {
      double along = 0, square = 0;
      for (size_t r = 0; r < rows.size(); ++r) {
        along += rows[r][i] * rest[r];
        square += rows[r][i] * rows[r][i];
      }
      if (square <= 0) continue;
      const double change = std::max(along / square, -cost[i]);
      cost[i] += change;
      for (size_t r = 0; r < rows.size(); ++r) rest[r] -= change * rows[r][i];
    }
  }
  for (size_t i = 0; i < cost.size(); ++i) cost[i] = scale[i] > 0 ? cost[i] / scale[i] : 0;
  return cost;
}

}  // namespace switchyard
