#include "tasks/metrics/classes.h"

#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

namespace switchyard {
namespace {

/// F1 of one class against all others.
double f1_of(int wanted, std::span<const int> targets, std::span<const int> predictions) {
  int64_t both = 0, either = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    both += targets[i] == wanted && predictions[i] == wanted;
    either += (targets[i] == wanted) + (predictions[i] == wanted);
  }
  return either == 0 ? 0 : 2 * static_cast<double>(both) / static_cast<double>(either);
}

}  // namespace

double accuracy(std::span<const int> targets, std::span<const int> predictions) {
  size_t right = 0;
  for (size_t i = 0; i < targets.size(); ++i) right += targets[i] == predictions[i];
  return static_cast<double>(right) / static_cast<double>(targets.size());
}

double binary_f1(std::span<const int> targets, std::span<const int> predictions) {
  std::vector<int> valid(predictions.begin(), predictions.end());
  for (size_t i = 0; i < valid.size(); ++i) {
    if (valid[i] != 0 && valid[i] != 1) valid[i] = 1 - targets[i];
  }
  return f1_of(1, targets, valid);
}

double macro_f1(std::span<const int> targets, std::span<const int> predictions, int classes) {
  double sum = 0;
  for (int i = 0; i < classes; ++i) sum += f1_of(i, targets, predictions);
  return sum / classes;
}

double matthews(std::span<const int> targets, std::span<const int> predictions) {
  struct Counts {
    double wanted = 0, given = 0;
  };
  std::map<int, Counts> classes;
  double right = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    ++classes[targets[i]].wanted;
    ++classes[predictions[i]].given;
    right += targets[i] == predictions[i];
  }
  const auto all = static_cast<double>(targets.size());
  double together = 0, wanted_squared = 0, given_squared = 0;
  for (const auto& [number, counts] : classes) {
    together += counts.wanted * counts.given;
    wanted_squared += counts.wanted * counts.wanted;
    given_squared += counts.given * counts.given;
  }
  const double spread = (all * all - wanted_squared) * (all * all - given_squared);
  return spread == 0 ? 0 : (right * all - together) / std::sqrt(spread);
}

}  // namespace switchyard
