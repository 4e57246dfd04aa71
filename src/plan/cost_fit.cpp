#include "plan/cost_fit.h"

#include <algorithm>
#include <cmath>

namespace switchyard {
namespace {

// In logarithms of sizes: a class speaks for shapes of about half to twice its size.
constexpr double kReach = 0.5;
constexpr double kDoubt = 0.02;  // weight of "as the costs say"

/// Square of the distance between shapes.
double distance(const ShapeClass& a, const ShapeClass& b) {
  const auto part = [](double x, double y) {
    const double difference = std::log((x + 1) / (y + 1));
    return difference * difference;
  };
  return part(a.flops, b.flops) + part(a.weights, b.weights) + part(a.elements, b.elements);
}

ShapeClass shape_of(const Work& work) {
  const double calls = std::max(work.calls, 1.0);
  return {work.flops / calls, work.weights / calls, work.elements / calls, 1};
}

}  // namespace

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

double cost_seconds(const OpCost& cost, const Work& work) {
  const std::array<double, 4> terms = work.terms();
  double seconds = 0;
  for (size_t i = 0; i < terms.size(); ++i) seconds += cost[i] * terms[i];
  return seconds;
}

std::vector<ShapeClass> fit_classes(const std::vector<CostSample>& samples, const OpCost& cost) {
  struct Sum {
    ShapeClass shape;
    double logarithms = 0, count = 0;
  };
  std::vector<Sum> sums;
  for (const CostSample& sample : samples) {
    const double fitted = cost_seconds(cost, sample.work);
    if (sample.seconds <= 0 || fitted <= 0) continue;
    const ShapeClass shape = shape_of(sample.work);
    auto sum = std::find_if(sums.begin(), sums.end(),
                            [&](const Sum& known) { return distance(known.shape, shape) < 1e-6; });
    if (sum == sums.end()) sum = sums.insert(sums.end(), Sum{shape, 0, 0});
    sum->logarithms += std::log(sample.seconds / fitted);
    sum->count += 1;
  }
  std::vector<ShapeClass> classes;
  for (Sum& sum : sums) {
    sum.shape.ratio = std::exp(sum.logarithms / sum.count);
    classes.push_back(sum.shape);
  }
  return classes;
}

double class_ratio(const std::vector<ShapeClass>& classes, const Work& work) {
  const ShapeClass shape = shape_of(work);
  double weights = kDoubt, logarithms = 0;
  for (const ShapeClass& known : classes) {
    const double weight = std::exp(-distance(known, shape) / (2 * kReach * kReach));
    weights += weight;
    logarithms += weight * std::log(known.ratio);
  }
  return std::exp(logarithms / weights);
}

}  // namespace switchyard
