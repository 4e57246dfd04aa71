// Both sides' logits a few rows at a time; backward computes them again.
#include "kernels/distillation.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "base/profile.h"
#include "kernels/cross_entropy.h"
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

/// What both passes read besides the student's rows.
struct Teaching {
  at::Tensor hidden, table;              // of the teacher: [N, D'], [V, D']
  at::Tensor soft_log_z, teacher_log_z;  // [N]
  double teacher_scale, weight, temperature;

  double hard() const { return 1 - weight; }
  double soft_factor() const { return weight * temperature * temperature; }
  /// The teacher's logits of a chunk.
  at::Tensor logits(const LogitChunk& chunk, const at::Tensor& buffer) const {
    const at::Tensor logits = buffer.narrow(0, 0, chunk.count);
    layer_forward(hidden.narrow(0, chunk.begin, chunk.count), {0, chunk.count}, table, false,
                  logits);
    return logits;
  }
  at::Tensor rows(const at::Tensor& of, const LogitChunk& chunk) const {
    return of.narrow(0, chunk.begin, chunk.count);
  }
};

template <class T>
void run_forward(const LogitChunk& chunk, const at::Tensor& teacher, const Teaching& teaching,
                 double scale, const at::Tensor& log_probs, const at::Tensor& correct,
                 const at::Tensor& soft_loss) {
  const int64_t width = chunk.logits.size(1);
  kernels::cross_entropy_forward(kernels::CrossEntropyForward<T>{
      read<T>(chunk.logits), read<int64_t>(chunk.targets), chunk.count, width,
      static_cast<float>(scale), write<float>(teaching.rows(log_probs, chunk)),
      write<float>(chunk.log_z), teaching.rows(correct, chunk).mutable_data_ptr<bool>()});
  kernels::soft_loss_forward(kernels::SoftLossForward<T>{
      read<T>(chunk.logits), read<T>(teacher), read<int64_t>(chunk.targets), chunk.count, width,
      static_cast<float>(scale / teaching.temperature),
      static_cast<float>(teaching.teacher_scale / teaching.temperature),
      write<float>(teaching.rows(soft_loss, chunk)),
      write<float>(teaching.rows(teaching.soft_log_z, chunk)),
      write<float>(teaching.rows(teaching.teacher_log_z, chunk))});
}

template <class T>
void run_backward(const LogitChunk& chunk, const at::Tensor& teacher, const Teaching& teaching,
                  double scale, double z_weight, double gradient) {
  kernels::distillation_backward(kernels::DistillationBackward<T>{
      write<T>(chunk.logits), read<T>(teacher), read<int64_t>(chunk.targets),
      read<float>(chunk.log_z), read<float>(teaching.rows(teaching.soft_log_z, chunk)),
      read<float>(teaching.rows(teaching.teacher_log_z, chunk)), chunk.count, chunk.logits.size(1),
      static_cast<float>(scale), static_cast<float>(teaching.teacher_scale),
      static_cast<float>(teaching.temperature), static_cast<float>(teaching.hard()),
      static_cast<float>(teaching.weight), static_cast<float>(z_weight),
      static_cast<float>(gradient)});
}

class DistillationLoss : public torch::autograd::Function<DistillationLoss> {
 public:
  /// -> loss_sum, hard_sum, soft_sum, z_sum, correct
  static variable_list forward(AutogradContext* context, const at::Tensor& hidden_variable,
                               const at::Tensor& /*value*/, const at::Tensor& targets,
                               Parameter* table, double scale, double z_weight,
                               const SoftTargets& soft) {
    const ProfileScope profile("distillation forward");
    const at::Tensor hidden = hidden_variable.detach().contiguous();
    const int64_t rows = hidden.size(0);
    const at::Tensor log_z = at::empty({rows}, at::kFloat), log_probs = at::empty_like(log_z);
    const at::Tensor soft_loss = at::empty_like(log_z), correct = at::empty({rows}, at::kBool);
    const Teaching teaching{soft.hidden.detach().contiguous(),
                            soft.table->compute(),
                            at::empty_like(log_z),
                            at::empty_like(log_z),
                            soft.scale,
                            soft.weight,
                            soft.temperature};
    const LogitRows all{hidden, table->compute(), targets, log_z};
    const at::Tensor buffer = logit_buffer(all), teacher_buffer = at::empty_like(buffer);
    for_each_logit_chunk(all, buffer, false, [&](const LogitChunk& chunk) {
      const at::Tensor teacher = teaching.logits(chunk, teacher_buffer);
      (hidden.scalar_type() == at::kFloat ? run_forward<float>
                                          : run_forward<kernels::Bf16>)(chunk, teacher, teaching,
                                                                        scale, log_probs, correct,
                                                                        soft_loss);
    });
    save_parameter(context, "table", *table);
    context->saved_data["scale"] = scale;
    context->saved_data["z_weight"] = z_weight;
    context->saved_data["teacher_scale"] = soft.scale;
    context->saved_data["weight"] = soft.weight;
    context->saved_data["temperature"] = soft.temperature;
    context->save_for_backward({hidden, targets, log_z, teaching.hidden, teaching.table,
                                teaching.soft_log_z, teaching.teacher_log_z});
    const at::Tensor hard_sum = log_probs.sum(at::kDouble).neg();
    const at::Tensor soft_sum = soft_loss.sum(at::kDouble);
    const at::Tensor total = teaching.hard() * hard_sum + teaching.soft_factor() * soft_sum;
    variable_list results = {total.to(at::kFloat), hard_sum.to(at::kFloat), soft_sum.to(at::kFloat),
                             log_z.to(at::kDouble).square().sum().to(at::kFloat), correct.sum()};
    context->mark_non_differentiable({results[1], results[2], results[3], results[4]});
    return results;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const ProfileScope profile("distillation backward");
    Parameter& table = saved_parameter(context, "table");
    const auto number = [&](const char* key) { return context->saved_data[key].toDouble(); };
    const double scale = number("scale"), z_weight = number("z_weight");
    const double gradient = gradients[0].item<double>();
    const variable_list saved = context->get_saved_variables();
    const LogitRows all{saved[0], table.compute(), saved[1], saved[2]};
    const Teaching teaching{saved[3],
                            saved[4],
                            saved[5],
                            saved[6],
                            number("teacher_scale"),
                            number("weight"),
                            number("temperature")};
    const at::Tensor buffer = logit_buffer(all), teacher_buffer = at::empty_like(buffer);
    const at::Tensor& hidden = all.hidden;
    at::Tensor hidden_gradient;
    if (context->needs_input_grad(0)) hidden_gradient = at::empty_like(hidden);
    for_each_logit_chunk(all, buffer, false, [&](const LogitChunk& chunk) {
      const at::Tensor teacher = teaching.logits(chunk, teacher_buffer);
      (hidden.scalar_type() == at::kFloat
           ? run_backward<float>
           : run_backward<kernels::Bf16>)(chunk, teacher, teaching, scale, z_weight, gradient);
      const RowOffsets rows = {0, chunk.count};
      layer_weight_gradient(chunk.logits, chunk.hidden, rows, table);
      if (!hidden_gradient.defined()) return;
      layer_input_gradient(chunk.logits, rows, all.table, at::Tensor(),
                           hidden_gradient.narrow(0, chunk.begin, chunk.count));
    });
    return {hidden_gradient, at::Tensor(), at::Tensor(), at::Tensor(),
            at::Tensor(),    at::Tensor(), at::Tensor()};
  }
};

}  // namespace

DistillationResult distillation_loss(const at::Tensor& hidden, Parameter& table,
                                     const at::Tensor& targets, double scale, double z_weight,
                                     const SoftTargets& soft) {
  const int64_t vocab_size = table.value().size(0);
  TORCH_CHECK(soft.table->value().size(0) == vocab_size && soft.hidden.size(0) == hidden.size(0),
              "the teacher's logits are ", soft.hidden.size(0), " x ", soft.table->value().size(0),
              ", the student's ", hidden.size(0), " x ", vocab_size);
  TORCH_CHECK(targets.numel() == 0 || (targets.min().item<int64_t>() >= 0 &&
                                       targets.max().item<int64_t>() < vocab_size),
              table.name(), ": a target is outside [0, ", vocab_size, ")");
  const at::ScalarType type = hidden.scalar_type();
  const bool has_kernel = hidden.device().is_cpu() && (type == at::kFloat || type == at::kBFloat16);
  if (!has_kernel || soft.hidden.scalar_type() != type) {
    const auto plain =
        reference::distillation(hidden, as_tensor(table), targets, scale,
                                {soft.hidden, soft.table->compute(), soft.scale, soft.temperature});
    const double factor = soft.weight * soft.temperature * soft.temperature;
    const at::Tensor loss = (1 - soft.weight) * plain.hard.loss_sum + factor * plain.soft_sum;
    const at::Tensor z = plain.hard.z_sum * z_weight;
    return {loss + (z - z.detach()), plain.hard.loss_sum.detach(), plain.soft_sum.detach(),
            plain.hard.z_sum.detach(), plain.hard.correct};
  }
  const variable_list results = DistillationLoss::apply(hidden, table.value(), targets.contiguous(),
                                                        &table, scale, z_weight, soft);
  return {results[0], results[1], results[2], results[3], results[4]};
}

}  // namespace switchyard::ops
