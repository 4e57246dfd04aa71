// A simulated step as events of Chrome's trace format, which chrome://tracing and Perfetto show.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "plan/memory_plan.h"
#include "plan/simulation.h"

namespace switchyard {

/// Complete events in microseconds: a rank is a process, its streams are threads 0 (computation)
/// and 1 (transfers); the memory of the first rank is a counter.
nlohmann::ordered_json chrome_trace(const StepProgram& program, const SimulationResult& result,
                                    const MemoryPlan& memory);

}  // namespace switchyard
