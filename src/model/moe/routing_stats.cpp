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

void accumulate(std::vector<RoutingStats>& into, const std::vector<RoutingStats>& from) {
  if (into.empty()) {
    into = from;
    return;
  }
  for (size_t i = 0; i < into.size(); ++i) into[i] += from[i];
}

}  // namespace switchyard
