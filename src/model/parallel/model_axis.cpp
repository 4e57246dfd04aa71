#include "model/parallel/model_axis.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/profile.h"
#include "model/parallel/element_type.h"

namespace switchyard {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor summed(const at::Tensor& x, Communicator& ranks) {
  const ProfileScope profile("sums over model ranks");
  at::Tensor sum = x.detach().clone(at::MemoryFormat::Contiguous);
  all_reduce(sum, ranks);
  return sum;
}

// The communicator outlives the graph.
Communicator& saved_ranks(AutogradContext* context) {
  return *reinterpret_cast<Communicator*>(context->saved_data["ranks"].toInt());
}

class Enter : public torch::autograd::Function<Enter> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, Communicator* ranks) {
    context->saved_data["ranks"] = reinterpret_cast<int64_t>(ranks);
    return x.view_as(x);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {summed(gradients[0], saved_ranks(context)), at::Tensor()};
  }
};

class Sum : public torch::autograd::Function<Sum> {
 public:
  static at::Tensor forward(AutogradContext* /*context*/, const at::Tensor& y,
                            Communicator* ranks) {
    return summed(y, *ranks);
  }
  static variable_list backward(AutogradContext* /*context*/, variable_list gradients) {
    return {gradients[0], at::Tensor()};
  }
};

}  // namespace

at::Tensor enter_model_ranks(const at::Tensor& x, Communicator& ranks) {
  return ranks.size() > 1 ? Enter::apply(x, &ranks) : x;
}

at::Tensor sum_model_ranks(const at::Tensor& y, Communicator& ranks) {
  return ranks.size() > 1 ? Sum::apply(y, &ranks) : y;
}

}  // namespace switchyard
