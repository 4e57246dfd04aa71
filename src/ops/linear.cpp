#include "base/profile.h"
#include "ops/layer_products.h"
#include "ops/ops.h"
#include "ops/parameter_bridge.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class Linear : public torch::autograd::Function<Linear> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& /*value*/, Parameter* w) {
    const ProfileScope profile("linear forward", w->name());
    save_parameter(context, "w", *w);
    context->save_for_backward({x});
    std::vector<int64_t> shape = x.sizes().vec();
    const at::Tensor flat = x.detach().reshape({-1, shape.back()}).contiguous();
    const at::Tensor y = at::empty({flat.size(0), w->compute().size(0)}, flat.options());
    layer_forward(flat, {0, flat.size(0)}, w->compute(), false, y);
    shape.back() = y.size(1);
    return y.view(shape);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    Parameter& w = saved_parameter(context, "w");
    const at::Tensor x = context->get_saved_variables()[0];
    const at::Tensor flat = x.reshape({-1, x.size(-1)}).contiguous();
    const at::Tensor gradient = gradients[0].reshape({flat.size(0), -1}).contiguous();
    const RowOffsets all = {0, flat.size(0)};
    {
      const ProfileScope profile("linear weight gradient", w.name());
      layer_weight_gradient(gradient, flat, all, w);
    }
    const ProfileScope profile("linear input gradient", w.name());
    if (!context->needs_input_grad(0)) return {at::Tensor(), at::Tensor(), at::Tensor()};
    const at::Tensor x_gradient = at::empty_like(flat);
    layer_input_gradient(gradient, all, w.compute(), at::Tensor(), x_gradient);
    return {x_gradient.view(x.sizes()), at::Tensor(), at::Tensor()};
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
    const at::Tensor ids = context->get_saved_variables()[0].reshape(-1);
    const auto [buffer, accumulate] = table.gradient_for_writing();
    if (!accumulate) buffer.zero_();
    buffer.index_add_(0, ids, gradients[0].reshape({ids.size(0), -1}).to(buffer.scalar_type()));
    return {at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, Parameter& w) { return Linear::apply(x, w.value(), &w); }

at::Tensor embedding(const at::Tensor& ids, Parameter& table) {
  return Embedding::apply(ids, table.value(), &table);
}

}  // namespace switchyard::ops
