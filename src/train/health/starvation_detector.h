// Collapsed routers: experts, or all but one of a layer, without tokens for many steps.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/moe/routing_stats.h"

namespace switchyard {

/// By routed layer: how many steps in a row each expert has starved.
using StarvedSteps = std::map<std::string, std::vector<int64_t>>;

/// Counts one step of `routing`. An expert starves while it is the first choice of less than
/// `share` of an even share of the layer's tokens (share 0: of none). One line in words for each
/// layer where an expert has just starved for `limit` steps in a row, or for a multiple of them.
std::vector<std::string> watch_routing(StarvedSteps& starved,
                                       const std::vector<RoutingStats>& routing, int64_t limit,
                                       double share);

}  // namespace switchyard
