#include "plan/failures.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace switchyard {
namespace {

constexpr uint32_t kFailures = 1004;  // a simulation's own draws
constexpr int64_t kMostFailures = 10000;

/// Daly 2006, equation 37; beyond its range a checkpoint would take longer than there is time.
double daly(double save, double mtbf) {
  if (save >= 2 * mtbf) return mtbf;
  const double ratio = save / (2 * mtbf);
  return std::sqrt(2 * save * mtbf) * (1 + std::sqrt(ratio) / 3 + ratio / 9) - save;
}

/// Share of lasting work, Daly's exponential model: an interval of work W with checkpoint C takes
/// M e^(R/M) (e^((W + C) / M) - 1) in the mean.
double expected_share(double work, const FailureOptions& options, double mtbf) {
  const double taken = mtbf * std::exp(options.restart_seconds / mtbf) *
                       std::expm1((work + options.save_seconds) / mtbf);
  return work / taken;
}

void simulate_run(const FailureOptions& options, FailurePlan& plan) {
  const RandomStream draws(options.seed, kFailures);
  uint64_t drawn = 0;
  const auto next_failure = [&] {
    return -plan.mtbf_seconds * std::log(1.0 - draws.uniform(drawn++));
  };
  double time = 0, failure = next_failure();
  int64_t saved = 0;
  while (saved < options.steps && plan.failures < kMostFailures) {
    const int64_t steps = std::min(plan.interval_steps, options.steps - saved);
    const double work = static_cast<double>(steps) * options.step_seconds;
    if (time + work + options.save_seconds <= failure) {
      time += work + options.save_seconds;
      plan.saving_seconds += options.save_seconds;
      saved += steps;
      continue;
    }
    plan.lost_seconds += std::max(0.0, failure - time);
    plan.restarting_seconds += options.restart_seconds;
    time = failure + options.restart_seconds;
    failure = time + next_failure();
    ++plan.failures;
  }
  plan.simulated_share = static_cast<double>(saved) * options.step_seconds / time;
}

}  // namespace

FailurePlan plan_failures(const FailureOptions& options) {
  FailurePlan plan;
  plan.mtbf_seconds = options.rank_mtbf_seconds / static_cast<double>(options.ranks);
  plan.young_seconds = std::sqrt(2 * options.save_seconds * plan.mtbf_seconds);
  plan.daly_seconds = daly(options.save_seconds, plan.mtbf_seconds);
  plan.interval_steps =
      std::max<int64_t>(1, std::llround(plan.daly_seconds / options.step_seconds));
  const double work = static_cast<double>(plan.interval_steps) * options.step_seconds;
  plan.expected_share = expected_share(work, options, plan.mtbf_seconds);
  simulate_run(options, plan);
  return plan;
}

}  // namespace switchyard
