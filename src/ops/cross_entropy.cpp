// The buffer of the last rows' logits stays until backward, which starts with them and computes the
// others again.
#include "kernels/cross_entropy.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/profile.h"
#include "ops/kernel_pointers.h"
#include "ops/layer_products.h"
#include "ops/logit_chunks.h"
#include "ops/ops.h"
#include "ops/parameter_bridge.h"
#include "ops/reference.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T>
void run_forward(const LogitChunk& chunk, double scale, const at::Tensor& log_probs,
                 const at::Tensor& correct) {
  kernels::cross_entropy_forward(kernels::CrossEntropyForward<T>{
      read<T>(chunk.logits), read<int64_t>(chunk.targets), chunk.count, chunk.logits.size(1),
      static_cast<float>(scale), write<float>(log_probs), write<float>(chunk.log_z),
      correct.mutable_data_ptr<bool>()});
}

template <class T>
void run_backward(const LogitChunk& chunk, double scale, double z_weight, double gradient) {
  kernels::cross_entropy_backward(kernels::CrossEntropyBackward<T>{
      write<T>(chunk.logits), read<int64_t>(chunk.targets), read<float>(chunk.log_z), chunk.count,
      chunk.logits.size(1), static_cast<float>(scale), static_cast<float>(z_weight),
      static_cast<float>(gradient)});
}

class CrossEntropy : public torch::autograd::Function<CrossEntropy> {
 public:
  /// -> loss_sum, z_sum, correct, token_log_probs
  static variable_list forward(AutogradContext* context, const at::Tensor& hidden_variable,
                               const at::Tensor& /*value*/, const at::Tensor& targets,
                               Parameter* table, double scale, double z_weight) {
    const ProfileScope profile("cross-entropy forward");
    const at::Tensor hidden = hidden_variable.detach().contiguous();
    const int64_t rows = hidden.size(0);
    const at::Tensor log_z = at::empty({rows}, at::kFloat), log_probs = at::empty_like(log_z);
    const at::Tensor correct = at::empty({rows}, at::kBool);
    const LogitRows all{hidden, table->compute(), targets, log_z};
    const at::Tensor buffer = logit_buffer(all);
    for_each_logit_chunk(all, buffer, false, [&](const LogitChunk& chunk) {
      (hidden.scalar_type() == at::kFloat
           ? run_forward<float>
           : run_forward<kernels::Bf16>)(chunk, scale,
                                         log_probs.narrow(0, chunk.begin, chunk.count),
                                         correct.narrow(0, chunk.begin, chunk.count));
    });
    save_parameter(context, "table", *table);
    context->saved_data["scale"] = scale;
    context->saved_data["z_weight"] = z_weight;
    context->saved_data["buffer"] = buffer;
    context->save_for_backward({hidden, targets, log_z});
    variable_list results = {log_probs.sum(at::kDouble).neg().to(at::kFloat),
                             log_z.to(at::kDouble).square().sum().to(at::kFloat), correct.sum(),
                             log_probs};
    context->mark_non_differentiable({results[1], results[2], results[3]});
    return results;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const ProfileScope profile("cross-entropy backward");
    Parameter& table = saved_parameter(context, "table");
    const double scale = context->saved_data["scale"].toDouble();
    const double z_weight = context->saved_data["z_weight"].toDouble();
    const double gradient = gradients[0].item<double>();
    const variable_list saved = context->get_saved_variables();
    const LogitRows all{saved[0], table.compute(), saved[1], saved[2]};
    const at::Tensor& hidden = all.hidden;
    // Used up by the first backward pass: another one over the same graph makes its own.
    const bool last_is_ready = context->saved_data.count("buffer") > 0;
    const at::Tensor buffer =
        last_is_ready ? context->saved_data["buffer"].toTensor() : logit_buffer(all);
    context->saved_data.erase("buffer");
    at::Tensor hidden_gradient;
    if (context->needs_input_grad(0)) hidden_gradient = at::empty_like(hidden);
    for_each_logit_chunk(all, buffer, last_is_ready, [&](const LogitChunk& chunk) {
      (hidden.scalar_type() == at::kFloat
           ? run_backward<float>
           : run_backward<kernels::Bf16>)(chunk, scale, z_weight, gradient);
      const RowOffsets rows = {0, chunk.count};
      layer_weight_gradient(chunk.logits, chunk.hidden, rows, table);
      if (!hidden_gradient.defined()) return;
      layer_input_gradient(chunk.logits, rows, all.table, at::Tensor(),
                           hidden_gradient.narrow(0, chunk.begin, chunk.count));
    });
    return {hidden_gradient, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

CrossEntropyResult cross_entropy(const at::Tensor& hidden, Parameter& table,
                                 const at::Tensor& targets, double scale, double z_weight) {
  const at::ScalarType type = hidden.scalar_type();
  if (!hidden.device().is_cpu() || (type != at::kFloat && type != at::kBFloat16)) {
    const ProfileScope profile("cross-entropy forward");
    const auto plain = reference::cross_entropy(hidden, as_tensor(table), targets, scale);
    const at::Tensor z = plain.z_sum * z_weight;
    return {plain.loss_sum + (z - z.detach()), plain.z_sum.detach(), plain.correct,
            plain.token_log_probs};
  }
  const int64_t vocab_size = table.value().size(0);
  TORCH_CHECK(targets.numel() == 0 || (targets.min().item<int64_t>() >= 0 &&
                                       targets.max().item<int64_t>() < vocab_size),
              table.name(), ": a target is outside [0, ", vocab_size, ")");
  const variable_list results =
      CrossEntropy::apply(hidden, table.value(), targets.contiguous(), &table, scale, z_weight);
  return {results[0], results[1], results[2], results[3]};
}

}  // namespace switchyard::ops
