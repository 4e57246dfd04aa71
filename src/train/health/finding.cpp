#include "train/health/finding.h"

#include <algorithm>
#include <limits>

namespace switchyard {

const char* finding_name(FindingKind kind) {
  switch (kind) {
    case FindingKind::kNotFinite:
      return "not_finite";
    case FindingKind::kSpike:
      return "spike";
    case FindingKind::kStarved:
      return "starved";
    default:
      return "slow";
  }
}

HealthAction action_of(const std::string& policy) {
  if (policy == "skip") return HealthAction::kSkip;
  if (policy == "roll_back") return HealthAction::kRollBack;
  return policy == "stop" ? HealthAction::kStop : HealthAction::kGoOn;
}

const char* action_name(HealthAction action) {
  switch (action) {
    case HealthAction::kSkip:
      return "skip";
    case HealthAction::kRollBack:
      return "roll back";
    case HealthAction::kStop:
      return "stop";
    default:
      return "go on";
  }
}

std::string Verdict::text() const {
  std::string all;
  for (const Finding& finding : findings) all += (all.empty() ? "" : "; ") + finding.text;
  return all;
}

int64_t Verdict::first_step() const {
  int64_t first = std::numeric_limits<int64_t>::max();
  for (const Finding& finding : findings) first = std::min(first, finding.first_step);
  return first;
}

}  // namespace switchyard
