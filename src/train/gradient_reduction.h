// What the ranks that split a batch add up after their backward passes.
#pragma once

#include "comm/mesh.h"
#include "model/parameter_set.h"

namespace switchyard {

/// Every gradient becomes its sum over the ranks: the same bits on all of them. A parameter that
/// had no gradient on any rank has none afterwards; one that had none on this rank counts as 0.
/// Costs nothing on one rank.
void reduce_gradients(const Mesh& mesh, ParameterSet& parameters);

}  // namespace switchyard
