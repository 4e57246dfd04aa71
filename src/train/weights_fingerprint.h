// What tells two sets of weights apart.
#pragma once

#include <string>

#include "model/parameter_set.h"

namespace switchyard {

/// Hash of all master weights, in the order of the set.
std::string weights_fingerprint(const ParameterSet& parameters);

}  // namespace switchyard
