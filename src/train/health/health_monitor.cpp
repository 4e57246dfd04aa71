#include "train/health/health_monitor.h"

#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "train/health/culprit.h"
#include "train/health/spike_detector.h"

namespace switchyard {
namespace {

// "the loss became NaN"; which of the two sums it was.
std::string describe(const StepResult& result) {
  const bool loss = !std::isfinite(result.loss);
  const bool nan = std::isnan(loss ? result.loss : result.gradient_norm);
  return format("the {} became {}", loss ? "loss" : "gradient norm", nan ? "NaN" : "infinite");
}

}  // namespace

HealthMonitor::HealthMonitor(const HealthConfig& config)
    : config_(config), slowness_(config.slow_window, config.slow_drop) {}

// Detectors of a step whose numbers are sound.
void HealthMonitor::watch_values(int64_t step, const StepResult& result, HealthState& state,
                                 Verdict& verdict) const {
  if (config_.spike_window > 0) {
    const auto spike =
        watch_loss(state.losses, result.loss, config_.spike_window, config_.spike_score);
    if (spike) {
      verdict.findings.push_back(
          {FindingKind::kSpike, action_of(config_.spike),
           format("the loss jumped to {:.4f}: {:.0f} robust deviations above the median {:.4f} of "
                  "the steps before",
                  result.loss, spike->score, spike->median),
           step});
    }
  }
  if (config_.starved_steps == 0) return;
  for (std::string& text :
       watch_routing(state.starved, result.routing, config_.starved_steps, config_.starved_share)) {
    verdict.findings.push_back({FindingKind::kStarved, action_of(config_.starved), std::move(text),
                                std::max<int64_t>(1, step - config_.starved_steps + 1)});
  }
}

void HealthMonitor::count_skipped(HealthState& state, Verdict& verdict) const {
  if (verdict.action != HealthAction::kSkip) {
    state.skipped_in_a_row = 0;
    return;
  }
  ++state.skipped_updates;
  if (++state.skipped_in_a_row <= config_.in_a_row) return;
  verdict.action = HealthAction::kStop;
  verdict.findings.back().text +=
      format("; health.in_a_row = {} updates were left out already", config_.in_a_row);
}

Verdict HealthMonitor::judge(int64_t step, const StepResult& result, const ParameterSet& parameters,
                             double seconds, HealthState& state) {
  Verdict verdict;
  if (std::isfinite(result.loss) && std::isfinite(result.gradient_norm)) {
    watch_values(step, result, state, verdict);
  } else {
    const Culprit culprit = find_culprit(parameters);
    verdict.weights_finite = culprit.weights_finite;
    verdict.findings.push_back({FindingKind::kNotFinite, action_of(config_.not_finite),
                                describe(result) + ": " + culprit.text, step});
  }
  if (const auto slow = seconds > 0 ? slowness_.add(seconds) : std::nullopt) {
    verdict.findings.push_back(
        {FindingKind::kSlow, action_of(config_.slow),
         format("steps have become slow: {:.3g} s each, {:.3g} s before", slow->now, slow->before),
         step});
  }
  for (const Finding& finding : verdict.findings) {
    verdict.action = std::max(verdict.action, finding.action);
    ++state.found[static_cast<size_t>(finding.kind)];
  }
  count_skipped(state, verdict);
  return verdict;
}

}  // namespace switchyard
