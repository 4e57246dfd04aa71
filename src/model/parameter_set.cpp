#include "model/parameter_set.h"

#include <ATen/Parallel.h>

#include "base/hash.h"
#include "base/random.h"

namespace switchyard {
namespace {

at::ScalarType compute_type(Precision precision) {
  switch (precision) {
    case Precision::kFloat32:
      return at::kFloat;
    case Precision::kFloat64:
      return at::kDouble;
    case Precision::kBfloat16Selective:
    case Precision::kBfloat16:
      return at::kBFloat16;
  }
  return at::kFloat;
}

void fill(Parameter& parameter, uint64_t seed) {
  const InitRule rule = parameter.init();
  at::Tensor value = parameter.value().detach();
  if (rule.kind == InitRule::Kind::kConstant) {
    value.fill_(rule.value);
    return;
  }
  const RandomStream stream(seed, kRandomInit, hash64(parameter.name()));
  const at::Tensor drawn = value.scalar_type() == at::kDouble ? value : value.to(at::kFloat);
  AT_DISPATCH_FLOATING_TYPES(drawn.scalar_type(), "initialize", [&] {
    scalar_t* out = drawn.mutable_data_ptr<scalar_t>();
    parameter.slice().for_each_run([&](const TensorSlice::Run& run) {
      at::parallel_for(0, run.count, 1 << 14, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const auto index = static_cast<uint64_t>(run.whole + i);
          const double x = rule.kind == InitRule::Kind::kNormal ? stream.normal(index)
                                                                : stream.truncated_normal(index);
          out[run.own + i] = static_cast<scalar_t>(rule.value * x);
        }
      });
    });
  });
}

}  // namespace

ParameterSet::ParameterSet(at::Device device, Precision precision, const Mesh* mesh)
    : device_(device), precision_(precision), mesh_(mesh ? mesh : &one_rank_) {}

Parameter& ParameterSet::create(const std::string& name, const TensorSlice& slice, InitRule init,
                                bool stack) {
  const at::ScalarType master = precision_ == Precision::kFloat64 ? at::kDouble : at::kFloat;
  const std::vector<int64_t> shape = slice.shape();
  parameters_.emplace_back(name, at::empty(shape, at::TensorOptions(master).device(device_)), init,
                           stack ? shape.front() : 0, slice);
  parameters_.back().set_compute_type(compute_type(precision_));
  return parameters_.back();
}

void ParameterSet::initialize(uint64_t seed) {
  for (Parameter& parameter : parameters_) fill(parameter, seed);
  refresh_compute();
}

Parameter* ParameterSet::find(const std::string& name) {
  for (Parameter& parameter : parameters_) {
    if (parameter.name() == name) return &parameter;
  }
  return nullptr;
}

int64_t ParameterSet::numel() const {
  int64_t total = 0;
  for (const Parameter& parameter : parameters_) total += parameter.numel();
  return total;
}

void ParameterSet::refresh_compute() {
  for (Parameter& parameter : parameters_) parameter.refresh_compute();
}

void ParameterSet::set_gradient_listener(GradientListener* listener) {
  for (Parameter& parameter : parameters_) parameter.set_gradient_listener(listener);
}

void ParameterSet::clear_gradients() {
  for (Parameter& parameter : parameters_) parameter.clear_gradient();
}

}  // namespace switchyard
