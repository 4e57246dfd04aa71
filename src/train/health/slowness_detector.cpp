#include "train/health/slowness_detector.h"

#include <utility>

#include "base/median.h"

namespace switchyard {
namespace {

constexpr int64_t kWindowsBefore = 8;
constexpr int64_t kLeastBefore = 2;

}  // namespace

std::optional<Slowness> SlownessDetector::add(double seconds) {
  if (window_ == 0) return std::nullopt;
  seconds_.push_back(seconds);
  const auto count = static_cast<int64_t>(seconds_.size());
  if (count > (kWindowsBefore + 1) * window_) seconds_.erase(seconds_.begin());
  if (count < (kLeastBefore + 1) * window_) return std::nullopt;
  const auto recent = seconds_.end() - static_cast<std::ptrdiff_t>(window_);
  Slowness found;
  found.now = median_of({recent, seconds_.end()});
  found.before = median_of({seconds_.begin(), recent});
  const bool slow = found.now * (1 - drop_) > found.before;
  if (std::exchange(slow_, slow) || !slow) return std::nullopt;
  return found;
}

}  // namespace switchyard
