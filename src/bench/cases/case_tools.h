// What the cases share: inputs, parameters, and a forward or a forward and backward pass.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ops/parameter.h"

namespace switchyard {

enum class Direction { kForward, kBoth };
inline constexpr Direction kDirections[] = {Direction::kForward, Direction::kBoth};

/// "fwd" or "fwd+bwd".
const char* direction_name(Direction direction);

/// Normal values times `scale`, a leaf that gets a gradient.
at::Tensor random_leaf(at::IntArrayRef shape, at::ScalarType type, double scale = 1.0);

/// A parameter with normal values times `scale` whose products run in `type`. `matrices` > 0: a
/// leading axis of that many equal ones.
std::shared_ptr<Parameter> random_weight(at::IntArrayRef shape, at::ScalarType type, double scale,
                                         int64_t matrices = 0);

/// The copy that products read as a leaf of its own, sharing memory: the same weights for plain
/// LibTorch.
at::Tensor plain_leaf(const Parameter& parameter);

/// What a pass writes gradients to.
struct Trained {
  std::vector<at::Tensor> leaves;
  std::vector<std::shared_ptr<Parameter>> parameters;
};

/// kForward: `op` without a graph. kBoth: `op`, then backward from `upstream` (undefined: from a
/// scalar), with gradients that start anew each time. Returns what `op` returned.
std::function<at::Tensor()> pass(Direction direction, std::function<at::Tensor()> op,
                                 at::Tensor upstream, Trained trained);

}  // namespace switchyard
