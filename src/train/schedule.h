// Learning-rate schedules as pure functions of the step.
#pragma once

#include <cstdint>

#include "train/recipe.h"

namespace switchyard {

/// The rate of step `step` (1 = the first update) of a run of `total_steps`. With p =
/// learning_rate, w = warmup_steps, e = decay_steps (or total_steps), f = final_rate_factor and x =
/// min(1, (step - w) / (e - w)):
///   constant      p
///   linear        p (1 - (1 - f) x)
///   cosine        p (f + (1 - f) (1 + cos(pi x)) / 2)
///   inverse_sqrt  p sqrt(max(w, 1) / max(step, w))
/// In the first w steps the first three rise as p step / w. inverse_sqrt stays at p, or rises too
/// if inverse_sqrt_ramp is set: learning_rate is always the peak. T5's 1 / sqrt(max(step, 10000))
/// is learning_rate = 0.01, warmup_steps = 10000, no ramp.
double learning_rate_at(const OptimizerConfig& config, int64_t step, int64_t total_steps);

}  // namespace switchyard
