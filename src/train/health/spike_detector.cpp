#include "train/health/spike_detector.h"

#include <algorithm>
#include <cmath>

#include "base/median.h"

namespace switchyard {
namespace {

constexpr double kDeviationOfMad = 1.4826;  // of a normal distribution

Spike score_of(const std::vector<double>& losses, double loss) {
  const double median = median_of(losses);
  std::vector<double> distances;
  for (const double other : losses) distances.push_back(std::abs(other - median));
  const double deviation = std::max(kDeviationOfMad * median_of(std::move(distances)),
                                    std::max(1e-3 * std::abs(median), 1e-12));
  return {(loss - median) / deviation, median};
}

}  // namespace

std::optional<Spike> watch_loss(std::vector<double>& losses, double loss, int64_t window,
                                double threshold) {
  std::optional<Spike> spike;
  const auto most = static_cast<size_t>(window);
  if (!losses.empty() && losses.size() >= (most + 1) / 2) {
    const Spike found = score_of(losses, loss);
    if (found.score > threshold) spike = found;
  }
  losses.push_back(loss);
  if (losses.size() > most) {
    losses.erase(losses.begin(), losses.end() - static_cast<std::ptrdiff_t>(most));
  }
  return spike;
}

}  // namespace switchyard
