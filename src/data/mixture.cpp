#include "data/mixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"

namespace switchyard {

MixtureSchedule::MixtureSchedule(const std::vector<double>& weights, uint64_t seed) {
  const RandomStream random(seed, kRandomMixture);
  double rest = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (size_t source = 0; source + 1 < weights.size(); ++source) {
    // Below 1 even where rounding or a vast weight would make it 1: share must fit in 64 bits.
    const double share = std::min(weights[source] / rest, 1.0 - 0x1p-50);
    splits_.push_back({static_cast<uint64_t>(std::ldexp(share, 64)), random.bits64(source)});
    rest -= weights[source];
  }
}

MixtureSchedule::Place MixtureSchedule::at(uint64_t i) const {
  uint64_t index = i;
  for (size_t source = 0; source < splits_.size(); ++source) {
    const uint64_t before = splits_[source].taken(index);
    if (splits_[source].taken(index + 1) > before) return {source, before};
    index -= before;
  }
  return {splits_.size(), index};
}

}  // namespace switchyard
