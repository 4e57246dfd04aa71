// The parameters of a model and what one rank of a mesh holds of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/recipe.h"

namespace switchyard {

struct ParameterShape {
  std::string name;  // as in a ParameterSet
  std::vector<int64_t> shape;
  int64_t matrices = 1;  // independent ones along the first axis: experts
  bool copied = false;   // products read a bfloat16 copy
  int64_t count() const;
};

/// Of the model that the recipe would build, from that model itself, without its memory.
std::vector<ParameterShape> parameter_shapes(const Recipe& recipe);

/// How the ranks share a parameter.
struct ParameterShare {
  ParameterShape local;  // what one rank holds
  bool expert = false;   // split over `expert`; its replicas are the ranks along `data` alone
};

/// The first rank's part: experts are split over `expert`; heads and inner widths, those of experts
/// too, over `model`; everything else is held by every rank.
std::vector<ParameterShare> share_parameters(const std::vector<ParameterShape>& all,
                                             const MeshConfig& mesh);

/// Floats of optimizer state of a parameter.
struct StateSize {
  double factored = 0;  // row and column means
  double full = 0;      // second moments of every weight
  double moment = 0;    // first moments
  double total() const { return factored + full + moment; }
};
StateSize state_size(const OptimizerConfig& optimizer, const ParameterShape& parameter);

}  // namespace switchyard
