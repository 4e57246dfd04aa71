// A block whose forward pass runs again in backward instead of keeping what its operations need.
#pragma once

#include <ATen/ATen.h>

#include "model/block.h"

namespace switchyard {

/// block.forward(h, pass) in less memory: of a block only `h` and the tensors of `pass` stay until
/// backward, whose gradients are the same to the bit. What is returned beside tensors is of the
/// first run. The block must outlive the graph.
BlockOutput recomputed_forward(const Block& block, const at::Tensor& h, const Pass& pass);

}  // namespace switchyard
