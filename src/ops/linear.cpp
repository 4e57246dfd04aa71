#include "base/format.h"
#include "base/profile.h"
#include "ops/layer_products.h"
#include "ops/ops.h"
#include "ops/parameter_bridge.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Several layers of one size that read the same x: backward sums their input gradients in the
// product.
class Linears : public torch::autograd::Function<Linears> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& x,
                               at::TensorList /*values*/, const std::vector<Parameter*>& layers) {
    variable_list results;
    std::vector<int64_t> shape = x.sizes().vec();
    const at::Tensor flat = x.detach().reshape({-1, shape.back()}).contiguous();
    for (Parameter* w : layers) {
      const ProfileScope profile("linear forward", w->name());
      const at::Tensor y = at::empty({flat.size(0), w->compute().size(0)}, flat.options());
      layer_forward(flat, {0, flat.size(0)}, w->compute(), false, y);
      shape.back() = y.size(1);
      results.push_back(y.view(shape));
      save_parameter(context, format("w{}", results.size()), *w);
    }
    context->save_for_backward({x});
    return results;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor x = context->get_saved_variables()[0];
    const at::Tensor flat = x.reshape({-1, x.size(-1)}).contiguous();
    const RowOffsets all = {0, flat.size(0)};
    std::vector<at::Tensor> dy, weights;
    std::string first_name;
    for (const at::Tensor& gradient : gradients) {
      Parameter& w = saved_parameter(context, format("w{}", dy.size() + 1));
      dy.push_back(gradient.reshape({-1, w.compute().size(0)}).contiguous());
      weights.push_back(w.compute());
      if (first_name.empty()) first_name = w.name();
      const ProfileScope profile("linear weight gradient", w.name());
      layer_weight_gradient(dy.back(), flat, all, w);
    }
    variable_list results(2 + gradients.size());  // x, values, layers
    if (!context->needs_input_grad(0)) return results;
    const ProfileScope profile("linear input gradient", first_name);
    const at::Tensor dx = at::empty_like(flat);
    layer_input_gradient(dy, all, weights, at::Tensor(), dx);
    results[0] = dx.view(x.sizes());
    return results;
  }
};

class Embedding : public torch::autograd::Function<Embedding> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& ids,
                            const at::Tensor& /*value*/, Parameter* table) {
    const ProfileScope profile("embedding forward");
    save_parameter(context, "table", *table);
    context->save_for_backward({ids});
    std::vector<int64_t> shape = ids.sizes().vec();
    shape.push_back(table->compute().size(1));
    return table->compute().index_select(0, ids.reshape(-1)).view(shape);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const ProfileScope profile("embedding backward");
    Parameter& table = saved_parameter(context, "table");
    if (table.frozen()) return {at::Tensor(), at::Tensor(), at::Tensor()};
    const at::Tensor ids = context->get_saved_variables()[0].reshape(-1);
    const auto [buffer, accumulate] = table.gradient_for_writing();
    if (!accumulate) buffer.zero_();
    buffer.index_add_(0, ids, gradients[0].reshape({-1, buffer.size(1)}).to(buffer.scalar_type()));
    return {at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, Parameter& w) { return linears(x, {&w})[0]; }

std::vector<at::Tensor> linears(const at::Tensor& x, const std::vector<Parameter*>& layers) {
  std::vector<at::Tensor> values;
  for (const Parameter* w : layers) {
    TORCH_CHECK(w->value().sizes() == layers[0]->value().sizes(), w->name(), ": its shape ",
                w->value().sizes(), " is not that of ", layers[0]->name());
    values.push_back(w->value());
  }
  return Linears::apply(x, at::TensorList(values), layers);
}

at::Tensor embedding(const at::Tensor& ids, Parameter& table) {
  return Embedding::apply(ids, table.value(), &table);
}

}  // namespace switchyard::ops
