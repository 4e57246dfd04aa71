// Speed-up to equal quality: how much earlier a run reaches the best held-out quality of a baseline
// (figure 5 of the paper, in steps and in time).
#pragma once

#include <vector>

#include "report/run_data.h"

namespace switchyard {

/// What training had cost up to some point.
struct Cost {
  double steps = 0, tokens = 0, seconds = 0;
};

/// Where a curve first reaches a level.
struct Crossing {
  bool reached = false;
  bool at_first = false;  // by its first evaluation already: `cost` is an upper bound
  Cost cost;              // NaN where not reached
};

/// Best NLP of the evaluations; NaN if none has a finite one.
double best_nlp(const std::vector<EvalPoint>& evaluations);

/// First point at which the running best of `evaluations` (ascending steps) is at least `level`,
/// interpolated linearly between the two evaluations around it. Evaluations without a finite NLP
/// are left out. A run that begins there (train.evaluate_start) reaches it at its next evaluation
/// that does.
Crossing first_reach(const std::vector<EvalPoint>& evaluations, double level);

/// `baseline` over `run`, per unit: 2 means that the run needs half. NaN where `run` did not reach.
Cost speed_up(const Crossing& baseline, const Crossing& run);

}  // namespace switchyard
