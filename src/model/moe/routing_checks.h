// Settings of a routed model that single ranges cannot check: routers, options and profiles that
// exclude each other.
#pragma once

#include <string>

#include "model/config.h"

namespace switchyard {

/// Throws Error(kUsage) naming the two settings that exclude each other; warns in the log of what
/// is allowed but probably not meant. `in_decoder`: some decoder block is routed.
void check_routing(const MoeConfig& config, bool in_decoder, const std::string& where);

}  // namespace switchyard
