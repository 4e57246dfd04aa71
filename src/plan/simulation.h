// A discrete-event simulation of training steps on all ranks of a mesh: each rank has a stream of
// computation and one of transfers; a collective starts when the last of its ranks is there.
// Events come in the order of the program on every rank, so that each is computed once and in
// place: thousands of ranks take milliseconds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/machine.h"
#include "plan/step_program.h"

namespace switchyard {

struct SimulationOptions {
  uint64_t seed = 1;
  int64_t steps = 1;
  double straggling = 0;     // standard deviation of the logarithm of a rank's slowness in a step
  double slow_share = 0;     // of ranks that are slower all the time ...
  double slow_factor = 1.5;  // ... by this factor
  double skew = 0;           // standard deviation of the logarithm of experts' loads
  double capacity = 0;       // most of an expert's load over an even share; 0: no limit
  int64_t shown_ranks = 4;   // of the last step's timeline; 0: none
};

struct TimelineEvent {
  int64_t rank = 0;
  size_t op = 0;
  double begin = 0, end = 0;  // seconds from the start of the step
};

/// Seconds of a step.
struct SimulatedStep {
  double seconds = 0;    // until the last rank is done
  double computing = 0;  // mean over ranks
  double waiting = 0;    // mean over ranks: computation stood still
};

struct SimulationResult {
  int64_t ranks = 1;
  std::vector<SimulatedStep> steps;
  double mean = 0, shortest = 0, longest = 0;  // step seconds
  double transfers = 0;      // seconds of a rank's transfers, in the mean of the last step
  double dropped_share = 0;  // of routed tokens, by skew and capacity
  std::vector<TimelineEvent> timeline;  // of the last step: the first ranks, then the slowest one
};

SimulationResult simulate(const StepProgram& program, const MeshConfig& mesh,
                          const Machine& machine, bool wide, const SimulationOptions& options);

/// One step in which all ranks are alike, computed for one of them.
SimulationResult simulate_even(const StepProgram& program, const MeshConfig& mesh,
                               const Machine& machine, bool wide);

}  // namespace switchyard
