#include "model/moe/routing_stats.h"

namespace switchyard {

RoutingStats& RoutingStats::operator+=(const RoutingStats& other) {
  tokens += other.tokens;
  dropped += other.dropped;
  entropy_sum += other.entropy_sum;
  confidence_sum += other.confidence_sum;
  balance += other.balance;
  router_z += other.router_z;
  calls += other.calls;
  load.resize(other.load.size());
  for (size_t e = 0; e < load.size(); ++e) load[e] += other.load[e];
  return *this;
}

RoutingStats count_places(const std::string& layer, const RoutingPlan& plan) {
  RoutingStats stats;
  stats.layer = layer;
  stats.calls = 1;
  stats.load.assign(static_cast<size_t>(plan.num_experts), 0.0);
  const int64_t* expert = plan.expert.const_data_ptr<int64_t>();
  for (int64_t t = 0; t < plan.num_tokens; ++t) {
    const int64_t first = expert[t * plan.num_choices];
    if (first < 0) continue;
    stats.tokens += 1;
    stats.load[static_cast<size_t>(first)] += 1;
  }
  stats.confidence_sum = stats.tokens;
  stats.dropped = stats.tokens - plan.kept.any(1).sum().item<double>();
  return stats;
}

void accumulate(std::vector<RoutingStats>& into, const std::vector<RoutingStats>& from) {
  if (into.empty()) {
    into = from;
    return;
  }
  for (size_t i = 0; i < into.size(); ++i) into[i] += from[i];
}

}  // namespace switchyard
