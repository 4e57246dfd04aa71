// The whole plan of a training run on a mesh of machines.
#pragma once

#include <string>
#include <vector>

#include "plan/machine.h"
#include "plan/memory_plan.h"
#include "plan/simulation.h"
#include "plan/transfers.h"

namespace switchyard {

struct PlanRequest {
  Recipe recipe;
  MeshConfig mesh;
  Machine machine;
  StepOptions options;
};

struct TimeLine {  // of one kind of operation, seconds a step
  OpKind kind;
  double seconds = 0;
};

struct Plan {
  int64_t parameters = 0, rank_parameters = 0;
  double sequence_flops = 0;  // forward, Kaplan counting
  double step_flops = 0;      // training, of all ranks
  StepProgram program;
  MemoryPlan memory;
  std::vector<TrafficLine> traffic;
  std::vector<TimeLine> times;  // costliest first
  double checkpoint_bytes = 0;  // of a rank: its share of weights and optimizer state
  double computing = 0;         // of a step, seconds
  double transfers = 0;         // if nothing overlapped
  double exposed = 0;           // of them, what computation waits for
  double step_seconds = 0;
  double tokens_per_second = 0;  // input and target tokens, all ranks
  double flops_share = 0;        // step_flops / time / all ranks' rate
};

/// Whether products are in float32.
bool is_wide(const Recipe& recipe);

/// Throws as divide_over_mesh().
Plan make_plan(const PlanRequest& request, const std::vector<ParameterShape>& parameters);
Plan make_plan(const PlanRequest& request);

}  // namespace switchyard
