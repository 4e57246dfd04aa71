#include "train/block_norms.h"

#include <algorithm>
#include <cmath>

#include "train/health/places.h"

namespace switchyard {

std::vector<BlockNorms> block_norms(const ParameterSet& parameters,
                                    const std::vector<double>& gradient_squares,
                                    const std::vector<double>& update_squares) {
  std::vector<BlockNorms> blocks;
  for (size_t i = 0; i < parameters.all().size(); ++i) {
    const std::string name = block_of_parameter(parameters.all()[i].name());
    auto block = std::find_if(blocks.begin(), blocks.end(),
                              [&](const BlockNorms& other) { return other.block == name; });
    if (block == blocks.end()) block = blocks.insert(blocks.end(), {name, 0, 0});
    block->gradient += gradient_squares[i];
    if (!update_squares.empty()) block->update += update_squares[i];
  }
  for (BlockNorms& block : blocks) {
    block.gradient = std::sqrt(block.gradient);
    block.update = std::sqrt(block.update);
  }
  return blocks;
}

}  // namespace switchyard
