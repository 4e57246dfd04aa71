#include "data/skipped_batches.h"

#include <algorithm>

namespace switchyard {

void SkippedBatches::add(uint64_t begin, uint64_t end) {
  if (begin >= end) return;
  ranges_.emplace_back(begin, end);
  std::sort(ranges_.begin(), ranges_.end());
  std::vector<Range> joined;
  for (const Range& range : ranges_) {
    if (!joined.empty() && range.first <= joined.back().second) {
      joined.back().second = std::max(joined.back().second, range.second);
    } else {
      joined.push_back(range);
    }
  }
  ranges_ = std::move(joined);
}

void SkippedBatches::add(const SkippedBatches& others) {
  for (const Range& range : others.ranges_) add(range.first, range.second);
}

uint64_t SkippedBatches::nth(uint64_t n) const {
  uint64_t number = n;
  for (const Range& range : ranges_) {
    if (range.first > number) break;
    number += range.second - range.first;
  }
  return number;
}

}  // namespace switchyard
