#include "ops/recompute.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

#include "base/profile.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct PieceHolder : torch::CustomClassHolder {
  explicit PieceHolder(Piece p) : piece(std::move(p)) {}
  Piece piece;
};

class Recompute : public torch::autograd::Function<Recompute> {
 public:
  static variable_list forward(AutogradContext* context, at::TensorList inputs,
                               const variable_list& outputs, const Piece& piece) {
    context->saved_data["piece"] =
        c10::IValue::make_capsule(c10::make_intrusive<PieceHolder>(piece));
    context->save_for_backward(inputs.vec());
    context->set_materialize_grads(false);  // an output that nobody used is left out below
    return outputs;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto holder =
        c10::static_intrusive_pointer_cast<PieceHolder>(context->saved_data["piece"].toCapsule());
    // Leaves of a graph of its own, so that the pass through it ends here.
    variable_list inputs;
    for (const at::Tensor& saved : context->get_saved_variables()) {
      inputs.push_back(saved.detach().set_requires_grad(saved.requires_grad()));
    }
    variable_list outputs, output_gradients;
    {
      const ProfileScope profile("rest of forward");
      const c10::AutoGradMode enable_grad(true);
      const variable_list all = holder->piece(inputs);
      for (size_t i = 0; i < all.size(); ++i) {
        if (!gradients[i].defined() || !all[i].requires_grad()) continue;
        outputs.push_back(all[i]);
        output_gradients.push_back(std::move(gradients[i]));
      }
    }
    // Not grad(): it would skip functions that lead to parameters only.
    if (!outputs.empty()) torch::autograd::backward(outputs, output_gradients);
    variable_list results;
    for (const at::Tensor& input : inputs) results.push_back(input.grad());
    results.resize(inputs.size() + 2);  // the outputs and the piece have none
    return results;
  }
};

}  // namespace

std::vector<at::Tensor> recomputed(const std::vector<at::Tensor>& inputs,
                                   const std::vector<at::Tensor>& outputs, const Piece& piece) {
  return Recompute::apply(at::TensorList(inputs), outputs, piece);
}

}  // namespace switchyard::ops
