#include "kernels/jitter.h"

#include <torch/csrc/autograd/custom_function.h>

#include "ops/kernel_pointers.h"
#include "ops/ops.h"
#include "ops/reference.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What the factors depend on: place, stream and size, as numbers that autograd can save.
struct Factors {
  int64_t first_row, key, high;
  double amount;
};

template <class T>
void run(const at::Tensor& x, const Factors& factors, const at::Tensor& y) {
  const auto high = static_cast<uint64_t>(factors.high);
  kernels::jitter(
      kernels::Jitter<T>{read<T>(x),
                         x.size(0),
                         x.size(1),
                         factors.first_row,
                         static_cast<uint64_t>(factors.key),
                         {static_cast<uint32_t>(high), static_cast<uint32_t>(high >> 32)},
                         static_cast<float>(1.0 - factors.amount),
                         static_cast<float>(2.0 * factors.amount),
                         write<T>(y)});
}

// The same linear map forward and backward.
at::Tensor multiply(const at::Tensor& x, const Factors& factors) {
  const at::Tensor y = at::empty_like(x);
  (x.scalar_type() == at::kFloat ? run<float> : run<kernels::Bf16>)(x, factors, y);
  return y;
}

class JitterFunction : public torch::autograd::Function<JitterFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, int64_t first_row,
                            int64_t key, int64_t high, double amount) {
    context->saved_data["first_row"] = first_row;
    context->saved_data["key"] = key;
    context->saved_data["high"] = high;
    context->saved_data["amount"] = amount;
    return multiply(x.detach().contiguous(), {first_row, key, high, amount});
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Factors factors{context->saved_data["first_row"].toInt(),
                          context->saved_data["key"].toInt(), context->saved_data["high"].toInt(),
                          context->saved_data["amount"].toDouble()};
    return {multiply(gradients[0].contiguous(), factors), at::Tensor(), at::Tensor(), at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor jitter(const at::Tensor& x, double amount, const RandomStream& stream,
                  int64_t first_row) {
  TORCH_CHECK(x.dim() == 2, "jitter of rows needs [R, W], not ", x.sizes());
  const bool has_kernel =
      x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
  if (!has_kernel) return reference::jitter(x, amount, stream, first_row);
  const uint64_t high = (uint64_t{stream.high()[1]} << 32) | stream.high()[0];
  return JitterFunction::apply(x, first_row, static_cast<int64_t>(stream.key()),
                               static_cast<int64_t>(high), amount);
}

}  // namespace switchyard::ops
