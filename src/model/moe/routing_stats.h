// RoutingStats: what one routed layer did in one forward pass, returned by value up the stack.
#pragma once

#include <string>
#include <vector>

#include "ops/routing_plan.h"

namespace switchyard {

struct RoutingStats {
  std::string layer;          // "encoder.1", "encoder.1.attention"
  double tokens = 0;          // real tokens routed
  double dropped = 0;         // of them, without a place in their expert
  double entropy_sum = 0;     // sum over tokens of the entropy of the router's softmax, nats
  double confidence_sum = 0;  // sum over tokens of the first choice's probability
  double balance = 0;   // E * sum f P, mean over groups; 1 = uniform (times calls, see `calls`)
  double router_z = 0;  // mean of (log Z)^2 (times calls)
  double calls = 0;     // forward passes added up
  std::vector<double> load;  // [E] real tokens whose first choice is the expert, before dropping
  at::Tensor choices;        // [T] int64, each token's first choice, -1: none; of one forward pass
                             // with ForwardOptions::keep_choices, else undefined

  RoutingStats& operator+=(const RoutingStats& other);
  double dropped_share() const { return tokens > 0 ? dropped / tokens : 0.0; }
};

/// Of a router's logits and probabilities [T, E]: one pass over both, on the threads of the pool;
/// the same to the bit for any number of them.
RoutingStats measure_routing(const std::string& layer, const RoutingPlan& plan,
                             const at::Tensor& logits, const at::Tensor& probabilities);

/// Of a router without probabilities: tokens, load and dropped ones; its choices are certain.
RoutingStats count_places(const std::string& layer, const RoutingPlan& plan);

/// Adds layer by layer; an empty `into` becomes a copy.
void accumulate(std::vector<RoutingStats>& into, const std::vector<RoutingStats>& from);

}  // namespace switchyard
