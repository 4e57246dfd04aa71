#include "train/time_limit.h"

#include <algorithm>

namespace switchyard {

TimeLimit::TimeLimit(double minutes, double save_seconds)
    : limit_(60 * minutes), save_(save_seconds) {}

// A slow step is remembered for a while.
void TimeLimit::add_step(double seconds) { step_ = std::max(seconds, 0.95 * step_); }

bool TimeLimit::reached(bool evaluation, double seconds_gone) const {
  constexpr double kMargin = 1.5;
  if (limit_ <= 0) return false;
  const double saves = saving_ ? 2 * save_ : save_;
  return seconds_gone + kMargin * (step_ + (evaluation ? evaluation_ : 0) + saves) >= limit_;
}

}  // namespace switchyard
