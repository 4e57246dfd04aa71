#include "model/moe/routing_stats.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

namespace switchyard {
namespace {

// What measure_routing() reads: logits and probabilities [T, E], float32.
struct Measured {
  const RoutingPlan& plan;
  const float* logits;
  const float* probabilities;
  const int64_t* expert;
  const bool* kept;
};

/// Sums over tokens begin .. end. log Z comes from the most probable expert: log p = h - log Z.
RoutingStats measure_tokens(const Measured& in, int64_t begin, int64_t end) {
  const int64_t experts = in.plan.num_experts, choices = in.plan.num_choices;
  RoutingStats stats;
  stats.load.assign(static_cast<size_t>(experts), 0.0);
  for (int64_t t = begin; t < end; ++t) {
    const int64_t first = in.expert[t * choices];
    if (first < 0) continue;
    stats.tokens += 1;
    stats.load[static_cast<size_t>(first)] += 1;
    // A token is dropped when none of its choices was kept.
    const bool* kept = in.kept + t * choices;
    if (std::none_of(kept, kept + choices, [](bool k) { return k; })) stats.dropped += 1;
    const float *h = in.logits + t * experts, *p = in.probabilities + t * experts;
    float largest_h = h[0], largest_p = p[0], mean_logit = 0;
#pragma omp simd reduction(max : largest_h, largest_p) reduction(+ : mean_logit)
    for (int64_t e = 0; e < experts; ++e) {
      largest_h = std::max(largest_h, h[e]);
      largest_p = std::max(largest_p, p[e]);
      mean_logit += p[e] * h[e];
    }
    const float log_z = largest_h - std::log(largest_p);
    stats.entropy_sum += log_z - mean_logit;
    stats.confidence_sum += p[first];
    stats.router_z += log_z * log_z;
  }
  return stats;
}

}  // namespace

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

// In blocks that do not depend on the number of threads.
RoutingStats measure_routing(const std::string& layer, const RoutingPlan& plan,
                             const at::Tensor& logits, const at::Tensor& probabilities) {
  constexpr int64_t kBlock = 512;
  const at::Tensor wide_logits = logits.detach().to(at::kFloat).contiguous();
  const at::Tensor wide_probabilities = probabilities.detach().to(at::kFloat).contiguous();
  const Measured in{plan, wide_logits.const_data_ptr<float>(),
                    wide_probabilities.const_data_ptr<float>(),
                    plan.expert.const_data_ptr<int64_t>(), plan.kept.const_data_ptr<bool>()};
  std::vector<RoutingStats> blocks(static_cast<size_t>((plan.num_tokens + kBlock - 1) / kBlock));
  at::parallel_for(0, static_cast<int64_t>(blocks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      blocks[static_cast<size_t>(b)] =
          measure_tokens(in, b * kBlock, std::min((b + 1) * kBlock, plan.num_tokens));
    }
  });
  RoutingStats stats;
  stats.load.assign(static_cast<size_t>(plan.num_experts), 0.0);
  for (const RoutingStats& block : blocks) stats += block;
  stats.layer = layer;
  stats.calls = 1;
  stats.router_z = stats.tokens > 0 ? stats.router_z / stats.tokens : 0.0;
  return stats;
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
