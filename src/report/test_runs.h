// Runs made up for tests.
#pragma once

#include <string>
#include <vector>

#include "report/run_data.h"

namespace switchyard {

/// A run with an evaluation every 100 steps, 1000 tokens and `seconds_per_step` a step.
inline RunData made_up_run(const std::string& name, int64_t experts, int64_t seed,
                           const std::vector<double>& nlp, double seconds_per_step = 1) {
  RunData run;
  run.name = name;
  run.path = "runs/" + name;
  run.recipe.model.moe.num_experts = experts;
  run.recipe.train.seed = seed;
  run.parameters = 1e6;
  run.forward_flops = 2e9;
  for (size_t i = 0; i < nlp.size(); ++i) {
    const double step = 100.0 * static_cast<double>(i + 1);
    run.evaluations.push_back({step, 1000 * step, seconds_per_step * step, nlp[i], 0.5, 4096});
  }
  return run;
}

}  // namespace switchyard
