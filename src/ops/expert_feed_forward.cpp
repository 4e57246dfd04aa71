// Experts over ragged rows. Tokens are gathered once, sorted by expert; products go over each
// expert's rows with its weights; results go straight to the tokens' places: no [tokens, E, C] mask
// and no pass over all tokens per expert.
//
// Example with E = 3, T = 5, expert of each token = 2 0 2 1 0:
//   row:      0 1 | 2 | 3 4          offsets = 0 2 3 5
//   token:    1 4 | 3 | 0 2          row_choice (K = 1)
#include <cstring>

#include "base/profile.h"
#include "ops/expert_rows.h"
#include "ops/ops.h"
#include "ops/parameter_bridge.h"
#include "ops/row_moves.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Without `wi` (null) experts are linear: no activation, no dropout.
class Experts : public torch::autograd::Function<Experts> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_variable,
                            const at::Tensor& gate, const at::Tensor& /*wi_value*/,
                            const at::Tensor& /*wo_value*/, Parameter* wi, Parameter* wo,
                            const RoutingPlan& plan, const ExpertOptions& options) {
    const ProfileScope profile("experts forward");
    const at::Tensor x = x_variable.detach();
    const at::Tensor token = tokens_of_rows(plan);
    ExpertSettings settings = settings_of(options);
    settings.most_rows = x.size(0) * plan.num_choices;
    ExpertRows work;
    work.rows = empty_rows(x, token.size(0), settings.most_rows, x.size(1));
    at::index_select_out(work.rows, x, 0, token);
    work.keys = plan.row_choice + options.first_token * plan.num_choices;
    work.offsets = plan.offsets;
    const at::Tensor y = experts_forward(work, wi, *wo, settings);
    const at::Tensor row_gate = gate.detach().reshape(-1).index_select(0, plan.row_choice);
    const at::Tensor out = combine_rows(y, row_gate, token, x.size(0), plan.num_choices);
    if (wi) save_parameter(context, "wi", *wi);
    save_parameter(context, "wo", *wo);
    context->saved_data["offsets"] = plan.offsets;
    context->saved_data["settings"] =
        std::string(reinterpret_cast<const char*>(&settings), sizeof settings);
    context->saved_data["gate_shape"] = gate.sizes().vec();
    context->saved_data["num_tokens"] = x.size(0);
    context->saved_data["num_choices"] = plan.num_choices;
    context->save_for_backward(
        {work.rows, work.pre, y, row_gate, token, plan.row_choice, work.keys});
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const ProfileScope profile("experts backward");
    Parameter* const wi =
        context->saved_data.count("wi") > 0 ? &saved_parameter(context, "wi") : nullptr;
    Parameter& wo = saved_parameter(context, "wo");
    ExpertSettings settings;
    std::memcpy(&settings, context->saved_data["settings"].toStringRef().data(), sizeof settings);
    const auto saved = context->get_saved_variables();
    const at::Tensor &rows = saved[0], &pre = saved[1], &y = saved[2], &row_gate = saved[3],
                     &token = saved[4], &choice = saved[5], &keys = saved[6];
    const ExpertRows work{rows, keys, pre, context->saved_data["offsets"].toIntVector()};
    const at::Tensor dy = empty_rows(y, y.size(0), settings.most_rows, y.size(1));
    const at::Tensor row_gate_gradient = at::empty_like(row_gate);
    combine_rows_backward(gradients[0].contiguous(), y, row_gate, token, dy, row_gate_gradient);
    const at::Tensor dx = experts_backward(work, dy, wi, wo, settings);
    const at::Tensor x_gradient = sum_rows(dx, token, context->saved_data["num_tokens"].toInt(),
                                           context->saved_data["num_choices"].toInt());
    const at::Tensor gate_gradient =
        at::zeros(context->saved_data["gate_shape"].toIntVector(), row_gate.options());
    gate_gradient.view(-1).index_copy_(0, choice, row_gate_gradient);
    return {x_gradient,   gate_gradient, at::Tensor(), at::Tensor(),
            at::Tensor(), at::Tensor(),  at::Tensor(), at::Tensor()};
  }
};

}  // namespace

ExpertSettings settings_of(const ExpertOptions& options) {
  ExpertSettings settings;
  settings.gated = options.gated;
  settings.dropout = options.dropout;
  settings.stream = options.dropout_stream;
  settings.columns = options.columns;
  return settings;
}

at::Tensor expert_feed_forward(const at::Tensor& x, const RoutingPlan& plan, Parameter& wi,
                               Parameter& wo, const ExpertOptions& options) {
  return Experts::apply(x, plan.gate, wi.value(), wo.value(), &wi, &wo, plan, options);
}

at::Tensor expert_linear(const at::Tensor& x, const RoutingPlan& plan, Parameter& w) {
  // Every input must be defined: the weight stands in for wi.
  return Experts::apply(x, plan.gate, w.value(), w.value(), nullptr, &w, plan, ExpertOptions{});
}

}  // namespace switchyard::ops
