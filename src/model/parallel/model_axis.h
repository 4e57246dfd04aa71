// Layers whose weights are split over the ranks along `model` (Shoeybi et al. 2019): all of them
// read the same activations, each computes with its part of the heads or of the inner width, and
// the parts' outputs are summed. Collective where there are several ranks: they call the same
// functions in the same order, in the backward pass too. One rank: x itself.
#pragma once

#include <ATen/ATen.h>

#include "comm/communicator.h"

namespace switchyard {

/// x, the same on all ranks, for a layer of which each rank has a part: the gradient of x is the
/// sum of the ranks' gradients.
at::Tensor enter_model_ranks(const at::Tensor& x, Communicator& ranks);

/// The sum of the ranks' y, in the order of ranks, rounded once to y's type; each rank's y has the
/// gradient of the sum.
at::Tensor sum_model_ranks(const at::Tensor& y, Communicator& ranks);

}  // namespace switchyard
