// Failures and how often to save: the best interval between checkpoints by Young's and Daly's
// formulas, and a simulated run.
#pragma once

#include <cstdint>

namespace switchyard {

struct FailureOptions {
  double rank_mtbf_seconds = 0;  // mean time between failures of one rank
  int64_t ranks = 1;
  double save_seconds = 0;     // that training stands still for a checkpoint
  double restart_seconds = 0;  // from a failure until the last checkpoint is loaded
  double step_seconds = 1;
  int64_t steps = 100000;  // of the simulated run
  uint64_t seed = 1;
};

struct FailurePlan {
  double mtbf_seconds = 0;     // of the whole run
  double young_seconds = 0;    // sqrt(2 C M)
  double daly_seconds = 0;     // with higher orders of C / M
  int64_t interval_steps = 1;  // Daly's in whole steps
  double expected_share = 0;   // of the time that does work that lasts, by Daly's model
  // The simulated run with that interval: failures by an exponential law.
  double simulated_share = 0;
  int64_t failures = 0;
  double lost_seconds = 0, saving_seconds = 0, restarting_seconds = 0;
};

/// A run that would not get on (no step between two failures in the mean) ends after 10,000
/// failures.
FailurePlan plan_failures(const FailureOptions& options);

}  // namespace switchyard
