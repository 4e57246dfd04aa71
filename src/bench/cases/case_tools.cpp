#include "bench/cases/case_tools.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

namespace switchyard {

const char* direction_name(Direction direction) {
  return direction == Direction::kForward ? "fwd" : "fwd+bwd";
}

at::Tensor random_leaf(at::IntArrayRef shape, at::ScalarType type, double scale) {
  return at::randn(shape).mul_(scale).to(type).set_requires_grad(true);
}

std::shared_ptr<Parameter> random_weight(at::IntArrayRef shape, at::ScalarType type, double scale,
                                         int64_t matrices) {
  at::Tensor value = at::randn(shape).mul_(scale);
  if (matrices > 0) {
    std::vector<int64_t> stacked = {matrices};
    stacked.insert(stacked.end(), shape.begin(), shape.end());
    value = value.expand(stacked).clone();  // drawing them all would take longer than measuring
  }
  auto parameter =
      std::make_shared<Parameter>("weight", value, InitRule{}, std::max<int64_t>(matrices, 1));
  parameter->set_compute_type(type);
  return parameter;
}

at::Tensor plain_leaf(const Parameter& parameter) {
  return parameter.compute().detach().set_requires_grad(true);
}

std::function<at::Tensor()> pass(Direction direction, std::function<at::Tensor()> op,
                                 at::Tensor upstream, Trained trained) {
  if (direction == Direction::kForward) {
    return [op = std::move(op)] {
      const c10::NoGradGuard no_grad;
      return op();
    };
  }
  return [op = std::move(op), upstream = std::move(upstream), trained = std::move(trained)] {
    for (const at::Tensor& leaf : trained.leaves) leaf.mutable_grad().reset();
    for (const auto& parameter : trained.parameters) parameter->clear_gradient();
    const at::Tensor result = op();
    result.backward(upstream);
    return result.detach();
  };
}

}  // namespace switchyard
