// Judges each step between its gradients and its update.
#pragma once

#include <cstdint>

#include "model/parameter_set.h"
#include "train/health/config.h"
#include "train/health/finding.h"
#include "train/health/slowness_detector.h"
#include "train/health/state.h"
#include "train/train_step.h"

namespace switchyard {

/// Not thread-safe.
class HealthMonitor {
 public:
  explicit HealthMonitor(const HealthConfig& config);

  /// `result` of step `step`, before the update that would follow from it; `seconds`: the duration
  /// of the step before it, 0 if there is none. Findings are counted in `state`, and so is an
  /// update that the verdict leaves out. Costs next to nothing while all is well: what is not
  /// finite shows in the sums of the step, and weights and gradients are searched only then.
  Verdict judge(int64_t step, const StepResult& result, const ParameterSet& parameters,
                double seconds, HealthState& state);

 private:
  void watch_values(int64_t step, const StepResult& result, HealthState& state,
                    Verdict& verdict) const;
  void count_skipped(HealthState& state, Verdict& verdict) const;

  HealthConfig config_;
  SlownessDetector slowness_;
};

}  // namespace switchyard
