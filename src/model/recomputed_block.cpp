#include "model/recomputed_block.h"

#include <c10/core/GradMode.h>

#include <vector>

#include "ops/recompute.h"

namespace switchyard {
namespace {

/// The tensors through which gradients enter a block in backward.
std::vector<at::Tensor*> differentiable(BlockOutput& output) {
  std::vector<at::Tensor*> tensors = {&output.h};
  for (LayerRouterLosses& layer : output.losses) {
    for (at::Tensor* tensor : {&layer.balance, &layer.terms.sums, &layer.router_z}) {
      if (tensor->defined()) tensors.push_back(tensor);
    }
  }
  return tensors;
}

std::vector<at::Tensor> values(const std::vector<at::Tensor*>& tensors) {
  std::vector<at::Tensor> values;
  for (const at::Tensor* tensor : tensors) values.push_back(*tensor);
  return values;
}

}  // namespace

BlockOutput recomputed_forward(const Block& block, const at::Tensor& h, const Pass& pass) {
  std::vector<at::Tensor> inputs = {h, pass.offset_bias};
  if (pass.memory.defined()) inputs.push_back(pass.memory);
  Pass rest = pass;  // without what comes back as inputs
  rest.offset_bias.reset();
  rest.memory.reset();
  const auto again = [&block, rest](const std::vector<at::Tensor>& in) {
    Pass whole = rest;
    whole.offset_bias = in[1];
    if (in.size() > 2) whole.memory = in[2];
    BlockOutput output = block.forward(in[0], whole);
    return values(differentiable(output));
  };
  BlockOutput output;
  {
    const c10::NoGradGuard no_grad;
    output = block.forward(h, pass);
  }
  const std::vector<at::Tensor*> places = differentiable(output);
  const std::vector<at::Tensor> results = ops::recomputed(inputs, values(places), again);
  for (size_t i = 0; i < places.size(); ++i) *places[i] = results[i];
  return output;
}

}  // namespace switchyard
