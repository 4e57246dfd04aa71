// What the watch over a run remembers from step to step. Kept in checkpoints, so that a run that
// goes on finds the same as one that was never stopped.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "train/health/finding.h"
#include "train/health/starvation_detector.h"

namespace switchyard {

struct HealthState {
  std::vector<double> losses;  // the last ones, newest at the end
  StarvedSteps starved;
  int64_t skipped_updates = 0;                    // of the whole run
  int64_t skipped_in_a_row = 0;                   // up to the last step
  std::array<int64_t, kNumFindingKinds> found{};  // of the whole run, by kind

  /// Exact: from_json(to_json()) is the same state. Throws nlohmann's errors on wrong input.
  nlohmann::json to_json() const;
  static HealthState from_json(const nlohmann::json& object);
};

}  // namespace switchyard
