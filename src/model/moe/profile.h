// What a profile fixes: the rules on which the systems that train Switch models differ
// (docs/routers.md has the table). Filled once from the
// configuration; the rest of the code asks for a rule, never for a profile's name.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace switchyard {

/// How places in an expert are counted for a routing group of S tokens.
enum class CapacityRule {
  kFloor,     // max(min_capacity, floor(S * factor / E))
  kHalfEven,  // the same, rounded to the nearest, halves to the even number
  kAbsolute,  // expert_capacity, whatever S
  kDropless,  // S: nobody is dropped
};

/// Weight of one of G groups in the mean over groups.
enum class GroupWeight {
  kByRealTokens,  // real tokens / real tokens of all groups
  kByRealShare,   // (real tokens / positions) / G
  kEqual,         // 1 / G
};

/// E * sum_i f_i P_i of a group: what is counted, what it is divided by, how groups are averaged.
struct BalanceRule {
  bool padding_counts = false;  // padding adds to f (by its best expert) and to P
  bool divide_by_all = false;   // f and P are over all positions, not over the real ones
  GroupWeight groups = GroupWeight::kByRealTokens;
  bool all_choices = false;       // f counts every choice of a token, not the first alone
  bool dropped_as_first = false;  // a token without a place counts on expert 0
};

/// How the losses of the routed layers become one.
enum class LayerLosses {
  kSum,
  kMean,    // over the layers of both stacks
  kPooled,  // per stack f and P are means over its layers before they are multiplied; stacks add
};

struct RoutingRules {
  CapacityRule capacity = CapacityRule::kFloor;
  int64_t group_sequences = 1;       // sequences that share one capacity
  bool route_padding = false;        // padding chooses experts, takes places, counts in the z-loss
  bool renormalize_top2 = true;      // the two gates of top2 sum to 1
  bool round_probabilities = false;  // to the activations' type before the choice
  BalanceRule balance;
  LayerLosses layer_losses = LayerLosses::kSum;
  bool losses_need_dense_block = false;  // a stack with experts in every block has no router losses
};

/// The rules of config.profile, with config.capacity in its place. Throws Error(kUsage) for an
/// unknown profile.
RoutingRules routing_rules(const MoeConfig& config);

}  // namespace switchyard
