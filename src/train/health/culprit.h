// Where a step that is not finite went wrong: looked for only after its sums said so.
#pragma once

#include <string>

#include "model/parameter_set.h"

namespace switchyard {

struct Culprit {
  std::string text;  // "the weights of encoder block 1, feed-forward, expert 3 are not ..."
  bool weights_finite = true;  // of the whole model
};

/// Weights first, matrix by matrix (one expert each): they are the cause wherever they are not
/// finite. Else gradients, from the last layer of the forward pass, where backward begins.
/// Collective over the ranks of the mesh: all get the same.
Culprit find_culprit(const ParameterSet& parameters);

}  // namespace switchyard
