// Memory of one rank: by kind at the peak, and over time within a step.
#pragma once

#include <string>
#include <vector>

#include "plan/machine.h"
#include "plan/step_program.h"

namespace switchyard {

struct MemoryKind {
  std::string name;
  double bytes = 0;
};

struct MemoryMoment {
  size_t op = 0;     // during operation `op` of the program
  double bytes = 0;  // of everything
};

struct MemoryPlan {
  std::vector<MemoryKind> kinds;  // at the peak; they add up to it
  double peak = 0;
  std::string peak_at;  // "decoder.3, experts backward"
  std::vector<MemoryMoment> moments;
};

MemoryPlan plan_memory(const Recipe& recipe, const MeshConfig& mesh,
                       const std::vector<ParameterShare>& parameters, const StepProgram& program,
                       const StepOptions& options, const Machine& machine);

}  // namespace switchyard
