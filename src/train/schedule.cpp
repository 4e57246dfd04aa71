#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace switchyard {

double learning_rate_at(const OptimizerConfig& config, int64_t step, int64_t total_steps) {
  const double peak = config.learning_rate;
  const auto at = static_cast<double>(step);
  const auto warmup = static_cast<double>(config.warmup_steps);
  const bool plateau = config.schedule == "inverse_sqrt" && !config.inverse_sqrt_ramp;
  if (at < warmup) return plateau ? peak : peak * at / warmup;

  if (config.schedule == "inverse_sqrt") {
    return peak * std::sqrt(std::max(warmup, 1.0) / std::max(at, 1.0));
  }
  if (config.schedule == "constant") return peak;
  const auto end = static_cast<double>(config.decay_steps > 0 ? config.decay_steps : total_steps);
  const double share = end > warmup ? std::min(1.0, (at - warmup) / (end - warmup)) : 0.0;
  const double floor = config.final_rate_factor;
  const double left =
      config.schedule == "linear" ? 1.0 - share : 0.5 * (1.0 + std::cos(std::numbers::pi * share));
  return peak * (floor + (1.0 - floor) * left);
}

}  // namespace switchyard
