#include "kernels/rms_norm.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/profile.h"
#include "ops/kernel_pointers.h"
#include "ops/ops.h"
#include "ops/parameter_bridge.h"
#include "ops/reference.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T>
void run_forward(const at::Tensor& x, const at::Tensor& scale, double epsilon, at::Tensor& y,
                 at::Tensor& rstd) {
  kernels::rms_norm_forward(kernels::RmsNormForward<T>{read<T>(x), read<float>(scale), rstd.numel(),
                                                       x.size(-1), static_cast<float>(epsilon),
                                                       write<T>(y), write<float>(rstd)});
}

template <class T>
void run_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& scale,
                  const at::Tensor& rstd, const at::Tensor& residual, at::Tensor& dx,
                  at::Tensor dscale, bool accumulate) {
  kernels::rms_norm_backward(kernels::RmsNormBackward<T>{
      read<T>(dy), read<T>(x), read<float>(scale), read<float>(rstd), rstd.numel(), x.size(-1),
      read<T>(residual), write<T>(dx), write<float>(dscale), accumulate});
}

// Gives x back beside its norm, so that backward adds up the gradients of both in one pass.
// Reads the float32 master scale, whatever the compute type: it is tiny, and rounding it to
// bfloat16 would hide small updates.
class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  /// -> x, norm
  static variable_list forward(AutogradContext* context, const at::Tensor& x_variable,
                               const at::Tensor& scale, Parameter* parameter, double epsilon) {
    const ProfileScope profile("norm forward");
    const at::Tensor x = x_variable.contiguous();
    at::Tensor y = at::empty_like(x);
    at::Tensor rstd = at::empty({x.numel() / x.size(-1)}, at::kFloat);
    (x.scalar_type() == at::kFloat ? run_forward<float>
                                   : run_forward<kernels::Bf16>)(x, scale, epsilon, y, rstd);
    save_parameter(context, "scale", *parameter);
    context->save_for_backward({x, rstd});
    context->set_materialize_grads(false);
    return {x_variable, y};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const ProfileScope profile("norm backward");
    if (!gradients[1].defined()) return {gradients[0], at::Tensor(), at::Tensor(), at::Tensor()};
    Parameter& scale = saved_parameter(context, "scale");
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &rstd = saved[1];
    const at::Tensor dy = gradients[1].contiguous();
    const at::Tensor residual = gradients[0].defined() ? gradients[0].contiguous() : at::Tensor();
    at::Tensor dx = at::empty_like(x);
    const auto [dscale, accumulate] = scale.gradient_for_writing();
    (x.scalar_type() == at::kFloat ? run_backward<float>
                                   : run_backward<kernels::Bf16>)(dy, x, scale.value().detach(),
                                                                  rstd, residual, dx, dscale,
                                                                  accumulate);
    return {dx, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

NormOfResidual rms_norm_of_residual(const at::Tensor& x, Parameter& scale, double epsilon) {
  TORCH_CHECK(x.dim() > 0 && x.size(-1) == scale.numel(), scale.name(), ": norm of width ",
              scale.numel(), " applied to ", x.sizes());
  const bool has_kernel = x.device().is_cpu() && scale.value().scalar_type() == at::kFloat &&
                          (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
  if (!has_kernel) {
    const ProfileScope profile("norm forward");
    return {x, reference::rms_norm(x, as_tensor(scale), epsilon)};
  }
  const variable_list results = RmsNorm::apply(x, scale.value(), &scale, epsilon);
  return {results[0], results[1]};
}

at::Tensor rms_norm(const at::Tensor& x, Parameter& scale, double epsilon) {
  return rms_norm_of_residual(x, scale, epsilon).normed;
}

}  // namespace switchyard::ops
