#include "train/health/starvation_detector.h"

#include "base/format.h"
#include "train/health/places.h"

namespace switchyard {
namespace {

bool starves(const RoutingStats& stats, size_t expert, double share) {
  const double even = stats.tokens / static_cast<double>(stats.load.size());
  return share > 0 ? stats.load[expert] < share * even : stats.load[expert] == 0;
}

// "expert 3" or "experts 1, 3 and 5"; the first few of many.
std::string list_of(const std::vector<size_t>& experts) {
  constexpr size_t kShown = 8;
  if (experts.size() == 1) return format("expert {}", experts[0]);
  std::string text = "experts ";
  const size_t shown = std::min(kShown, experts.size());
  for (size_t i = 0; i < shown; ++i) {
    const bool last = i + 1 == experts.size();
    text += format("{}{}", i == 0 ? "" : last ? " and " : ", ", experts[i]);
  }
  if (experts.size() > shown) text += format(" and {} more", experts.size() - shown);
  return text;
}

std::string describe(const RoutingStats& stats, const std::vector<int64_t>& steps,
                     const std::vector<size_t>& experts, int64_t limit) {
  const std::string where = describe_routed_layer(stats.layer);
  std::vector<size_t> fed;
  for (size_t e = 0; e < steps.size(); ++e) {
    if (steps[e] < limit) fed.push_back(e);
  }
  if (fed.empty()) {
    return format("{}: the whole layer has had no tokens for {} steps", where, limit);
  }
  if (fed.size() == 1 && steps.size() > 2) {
    return format(
        "{}: the router has collapsed onto expert {}: all others have had no tokens "
        "for {} steps",
        where, fed[0], limit);
  }
  return format("{}: {} had no tokens, or next to none, for {} steps", where, list_of(experts),
                steps[experts[0]]);
}

}  // namespace

std::vector<std::string> watch_routing(StarvedSteps& starved,
                                       const std::vector<RoutingStats>& routing, int64_t limit,
                                       double share) {
  std::vector<std::string> found;
  for (const RoutingStats& stats : routing) {
    std::vector<int64_t>& steps = starved[stats.layer];
    steps.resize(stats.load.size());
    std::vector<size_t> just_starved;
    for (size_t e = 0; e < steps.size(); ++e) {
      // Nothing routed at all leaves an even share of 0: then every expert starves.
      steps[e] = stats.tokens == 0 || starves(stats, e, share) ? steps[e] + 1 : 0;
      if (steps[e] > 0 && steps[e] % limit == 0) just_starved.push_back(e);
    }
    if (!just_starved.empty()) found.push_back(describe(stats, steps, just_starved, limit));
  }
  return found;
}

}  // namespace switchyard
