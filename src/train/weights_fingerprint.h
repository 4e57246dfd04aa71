// What tells two sets of weights apart.
#pragma once

#include <functional>
#include <string>

#include "model/parameter_set.h"

namespace switchyard {

/// Hash of this rank's master weights, in the order of the set; of those that `of` names, if given.
std::string weights_fingerprint(const ParameterSet& parameters,
                                const std::function<bool(const Parameter&)>& of = {});

}  // namespace switchyard
