// Parameters that a run leaves as they are.
#pragma once

#include <string>

#include "model/parameter_set.h"

namespace switchyard {

/// `patterns`: with commas between them, names of groups (router, experts, all_but_experts,
/// embeddings) and patterns of names in which * stands for any text, as
/// "encoder.block.0.*, *.layer_norm.weight". Throws Error(kUsage) for a pattern that meets no
/// parameter, and if none is left to train.
/// Returns `parameters`.
ParameterSet& freeze_parameters(const std::string& patterns, ParameterSet& parameters);

}  // namespace switchyard
