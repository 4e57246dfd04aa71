#include "ops/parameter.h"

#include <torch/csrc/autograd/custom_function.h>

#include <utility>

#include "ops/parameter_bridge.h"

namespace switchyard {

Parameter::Parameter(std::string name, at::Tensor value, InitRule init, int64_t num_matrices,
                     std::optional<TensorSlice> slice)
    : name_(std::move(name)),
      init_(init),
      num_matrices_(num_matrices),
      slice_(slice ? *slice : TensorSlice(value.sizes().vec())),
      value_(std::move(value)) {
  TORCH_CHECK(value_.scalar_type() == at::kFloat || value_.scalar_type() == at::kDouble, name_,
              ": master weights are float32 or float64");
  value_.set_requires_grad(true);
  compute_ = value_.detach();
}

void Parameter::set_compute_type(at::ScalarType type) {
  const at::Tensor master = value_.detach();
  compute_ = type == master.scalar_type() ? master : master.to(type);
}

void Parameter::refresh_compute() {
  if (compute_.scalar_type() != value_.scalar_type()) compute_.copy_(value_.detach());
}

void Parameter::add_gradient(const at::Tensor& gradient) {
  const auto [buffer, accumulate] = gradient_for_writing();
  if (accumulate) {
    buffer.add_(gradient);
  } else {
    buffer.copy_(gradient);
  }
}

std::pair<at::Tensor, bool> Parameter::gradient_for_writing() {
  if (listener_) listener_->writing(*this);
  if (!gradient_.defined()) gradient_ = at::empty_like(value_.detach());
  gradient_squares_.reset();
  return {gradient_, std::exchange(has_gradient_, true)};
}

void take_slice(const at::Tensor& whole, const TensorSlice& slice, const at::Tensor& target) {
  const at::Tensor from = whole.reshape(-1), to = target.view(-1);
  slice.for_each_run([&](const TensorSlice::Run& run) {
    to.narrow(0, run.own, run.count).copy_(from.narrow(0, run.whole, run.count));
  });
}

void put_slice(const at::Tensor& part, const TensorSlice& slice, const at::Tensor& whole) {
  const at::Tensor from = part.reshape(-1), to = whole.view(-1);
  slice.for_each_run([&](const TensorSlice::Run& run) {
    to.narrow(0, run.whole, run.count).copy_(from.narrow(0, run.own, run.count));
  });
}

namespace {

// Autograd's saved data holds tensors and numbers; a parameter outlives the graph, so its address
// is kept as a number.
int64_t to_number(Parameter& parameter) { return reinterpret_cast<int64_t>(&parameter); }

class Use : public torch::autograd::Function<Use> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& /*value*/,
                            int64_t parameter) {
    context->saved_data["parameter"] = parameter;
    return reinterpret_cast<Parameter*>(parameter)->compute().alias();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    if (gradients[0].defined()) {
      saved_parameter(context, "parameter").add_gradient(gradients[0]);
    }
    return {at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor as_tensor(Parameter& parameter) {
  return Use::apply(parameter.value(), to_number(parameter));
}

void save_parameter(torch::autograd::AutogradContext* context, const std::string& key,
                    Parameter& parameter) {
  context->saved_data[key] = to_number(parameter);
}

Parameter& saved_parameter(torch::autograd::AutogradContext* context, const std::string& key) {
  return *reinterpret_cast<Parameter*>(context->saved_data[key].toInt());
}

}  // namespace switchyard
