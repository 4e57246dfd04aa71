#include "report/speed_up.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace switchyard {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double ratio(double above, double below) { return below > 0 ? above / below : kNaN; }

}  // namespace

double best_nlp(const std::vector<EvalPoint>& evaluations) {
  double best = kNaN;
  for (const EvalPoint& point : evaluations) {
    if (std::isfinite(point.nlp) && !(point.nlp <= best)) best = point.nlp;
  }
  return best;
}

Crossing first_reach(const std::vector<EvalPoint>& evaluations, double level) {
  const EvalPoint* before = nullptr;
  double best = -std::numeric_limits<double>::infinity();
  for (const EvalPoint& point : evaluations) {
    if (!std::isfinite(point.nlp)) continue;
    // What a run begins with has cost it nothing: the next evaluation bounds the cost.
    if (point.nlp >= level && !(point.step > 0)) continue;
    if (point.nlp >= level) {
      if (!before) return {true, true, {point.step, point.tokens, point.seconds}};
      const double share = (level - best) / (point.nlp - best);
      return {true,
              false,
              {std::lerp(before->step, point.step, share),
               std::lerp(before->tokens, point.tokens, share),
               std::lerp(before->seconds, point.seconds, share)}};
    }
    best = std::max(best, point.nlp);
    before = &point;
  }
  return {false, false, {kNaN, kNaN, kNaN}};
}

Cost speed_up(const Crossing& baseline, const Crossing& run) {
  return {ratio(baseline.cost.steps, run.cost.steps), ratio(baseline.cost.tokens, run.cost.tokens),
          ratio(baseline.cost.seconds, run.cost.seconds)};
}

}  // namespace switchyard
