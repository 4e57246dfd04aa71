// Norms of gradients and updates, block by block.
#pragma once

#include <string>
#include <vector>

#include "model/parameter_set.h"

namespace switchyard {

/// L2 norms over all parameters of a block (places.h names it: "encoder.1", "embedding").
struct BlockNorms {
  std::string block;
  double gradient = 0;  // before clipping
  double update = 0;    // of what the step changed in the weights
};

/// Blocks in the order of their first parameter. Sums of squares are by parameter, in the order of
/// the set; `update_squares` may be empty: no update was made.
std::vector<BlockNorms> block_norms(const ParameterSet& parameters,
                                    const std::vector<double>& gradient_squares,
                                    const std::vector<double>& update_squares);

}  // namespace switchyard
