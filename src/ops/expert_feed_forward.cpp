// Experts over ragged rows. Tokens are gathered once, sorted by expert; products go over each
// expert's rows with its weights; results go straight to the tokens' places: no [tokens, E, C] mask
// and no pass over all tokens per expert.
//
// Example with E = 3, T = 5, expert of each token = 2 0 2 1 0:
//   row:      0 1 | 2 | 3 4          offsets = 0 2 3 5
//   token:    1 4 | 3 | 0 2          row_choice (K = 1)
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "base/profile.h"
#include "ops/activations.h"
#include "ops/layer_products.h"
#include "ops/ops.h"
#include "ops/parameter_bridge.h"
#include "ops/row_kernels.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowsPerTask = 64;

// The loops of row_kernels.h on tensors, over threads. The gate is float32 for bfloat16 rows, else
// of the rows' own type. `index` holds distinct rows.
void combine(const at::Tensor& y, const at::Tensor& gate, const at::Tensor& index,
             const at::Tensor& out) {
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, y.scalar_type(), "combine", [&] {
    using Gate = std::conditional_t<std::is_same_v<scalar_t, double>, double, float>;
    const auto* from = y.const_data_ptr<scalar_t>();
    const auto* gates = gate.const_data_ptr<Gate>();
    const auto* places = index.const_data_ptr<int64_t>();
    auto* to = out.mutable_data_ptr<scalar_t>();
    const int64_t width = y.size(1);
    at::parallel_for(0, index.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
      rows::scatter_scaled(from + begin * width, gates + begin, places + begin, end - begin, width,
                           to);
    });
  });
}

void combine_backward(const at::Tensor& upstream, const at::Tensor& y, const at::Tensor& gate,
                      const at::Tensor& index, const at::Tensor& scaled, const at::Tensor& dot) {
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, y.scalar_type(), "combine_backward", [&] {
    using Gate = std::conditional_t<std::is_same_v<scalar_t, double>, double, float>;
    const auto* from = upstream.const_data_ptr<scalar_t>();
    const auto* own = y.const_data_ptr<scalar_t>();
    const auto* gates = gate.const_data_ptr<Gate>();
    const auto* places = index.const_data_ptr<int64_t>();
    auto* to = scaled.mutable_data_ptr<scalar_t>();
    auto* dots = dot.mutable_data_ptr<Gate>();
    const int64_t width = y.size(1);
    at::parallel_for(0, index.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
      rows::gather_scaled(from, own + begin * width, gates + begin, places + begin, end - begin,
                          width, to + begin * width, dots + begin);
    });
  });
}

/// hidden times its dropout mask, in place; row r is keyed by keys[r].
void drop_out(const at::Tensor& hidden, const at::Tensor& keys, double rate,
              const RandomStream& stream) {
  at::Tensor(hidden).mul_(dropout_mask(hidden, keys, rate, stream));
}

/// out[index[r]] = rows[r].
void scatter_rows(const at::Tensor& rows, const at::Tensor& index, const at::Tensor& out) {
  const auto bytes = static_cast<size_t>(rows.size(1) * rows.element_size());
  const auto* from = static_cast<const char*>(rows.const_data_ptr());
  auto* to = static_cast<char*>(out.mutable_data_ptr());
  const int64_t* place = index.const_data_ptr<int64_t>();
  at::parallel_for(0, rows.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      std::memcpy(to + static_cast<size_t>(place[r]) * bytes, from + static_cast<size_t>(r) * bytes,
                  bytes);
    }
  });
}

// Without `wi` (null) experts are linear: no activation, no dropout.
class Experts : public torch::autograd::Function<Experts> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_variable,
                            const at::Tensor& gate, const at::Tensor& /*wi_value*/,
                            const at::Tensor& /*wo_value*/, Parameter* wi, Parameter* wo,
                            const RoutingPlan& plan, const ExpertOptions& options) {
    const ProfileScope profile("experts forward");
    const at::Tensor x = x_variable.detach();
    const at::Tensor token =
        plan.num_choices == 1 ? plan.row_choice : plan.row_choice.floor_divide(plan.num_choices);
    const int64_t most_rows = std::max(x.size(0) * plan.num_choices, token.size(0));
    at::Tensor rows = empty_rows(x, token.size(0), most_rows, x.size(1));
    at::index_select_out(rows, x, 0, token);
    const at::Tensor row_gate = gate.detach().reshape(-1).index_select(0, plan.row_choice);
    const Settings settings{options.gated,          options.dropout,
                            options.dropout_stream, options.first_token * plan.num_choices,
                            plan.num_choices,       most_rows};
    // Before the gate of GEGLU; ReLU's own output, which is enough for its gradient.
    const at::Tensor pre = wi ? empty_rows(rows, settings, wi->compute().size(1)) : at::Tensor();
    if (wi) layer_forward(rows, plan.offsets, wi->compute(), !settings.gated, pre);
    const at::Tensor hidden = wi ? hidden_of(pre, plan.row_choice, settings) : rows;
    const at::Tensor y = empty_rows(rows, settings, wo->compute().size(1));
    layer_forward(hidden, plan.offsets, wo->compute(), false, y);
    const at::Tensor out = at::zeros({x.size(0), y.size(1)}, x.options());
    if (plan.num_choices == 1) {
      combine(y, row_gate, token, out);
    } else {
      const at::Tensor scaled = at::empty_like(y);
      combine(y, row_gate, at::arange(y.size(0), at::kLong), scaled);
      at::Tensor(out).index_add_(0, token, scaled);
    }
    if (wi) save_parameter(context, "wi", *wi);
    save_parameter(context, "wo", *wo);
    context->saved_data["offsets"] = plan.offsets;
    context->saved_data["settings"] =
        std::string(reinterpret_cast<const char*>(&settings), sizeof settings);
    context->saved_data["gate_shape"] = gate.sizes().vec();
    context->saved_data["num_tokens"] = x.size(0);
    context->save_for_backward({rows, pre, y, row_gate, token, plan.row_choice});
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const ProfileScope profile("experts backward");
    Parameter* const wi =
        context->saved_data.count("wi") > 0 ? &saved_parameter(context, "wi") : nullptr;
    Parameter& wo = saved_parameter(context, "wo");
    const RowOffsets offsets = context->saved_data["offsets"].toIntVector();
    Settings settings;
    std::memcpy(&settings, context->saved_data["settings"].toStringRef().data(), sizeof settings);
    const auto saved = context->get_saved_variables();
    const at::Tensor &rows = saved[0], &pre = saved[1], &y = saved[2], &row_gate = saved[3],
                     &token = saved[4], &choice = saved[5];
    const at::Tensor dy = empty_rows(y, settings, y.size(1));
    const at::Tensor row_gate_gradient = at::empty_like(row_gate);
    combine_backward(gradients[0].contiguous(), y, row_gate, token, dy, row_gate_gradient);
    const at::Tensor dx = empty_rows(rows, settings, rows.size(1));
    if (wi) {
      const at::Tensor dpre = hidden_backward(pre, dy, choice, settings, offsets, wo);
      layer_weight_gradient(dpre, rows, offsets, *wi);
      layer_input_gradient(dpre, offsets, wi->compute(), at::Tensor(), dx);
    } else {
      layer_weight_gradient(dy, rows, offsets, wo);
      layer_input_gradient(dy, offsets, wo.compute(), at::Tensor(), dx);
    }
    const at::Tensor x_gradient =
        at::zeros({context->saved_data["num_tokens"].toInt(), rows.size(1)}, rows.options());
    if (settings.num_choices == 1) {
      scatter_rows(dx, token, x_gradient);
    } else {
      at::Tensor(x_gradient).index_add_(0, token, dx);
    }
    const at::Tensor gate_gradient =
        at::zeros(context->saved_data["gate_shape"].toIntVector(), row_gate.options());
    gate_gradient.view(-1).index_copy_(0, choice, row_gate_gradient);
    return {x_gradient,   gate_gradient, at::Tensor(), at::Tensor(),
            at::Tensor(), at::Tensor(),  at::Tensor(), at::Tensor()};
  }

 private:
  struct Settings {
    bool gated = false;
    double dropout = 0;
    RandomStream stream{0, 0};
    int64_t first_choice = 0;  // key of the batch's first (token, choice) pair
    int64_t num_choices = 1;
    int64_t most_rows = 0;  // if nothing is dropped
  };
  static_assert(std::is_trivially_copyable_v<Settings>);

  /// In room for the most rows there can be: blocks whose size does not depend on what is dropped
  /// leave no gaps in the heap.
  static at::Tensor empty_rows(const at::Tensor& like, int64_t count, int64_t most, int64_t width) {
    return at::empty({most, width}, like.options()).narrow(0, 0, count);
  }
  /// A row for each row of `like`.
  static at::Tensor empty_rows(const at::Tensor& like, const Settings& settings, int64_t width) {
    return empty_rows(like, like.size(0), settings.most_rows, width);
  }

  /// What the second product reads: `pre` itself, or a new tensor.
  static at::Tensor hidden_of(const at::Tensor& pre, const at::Tensor& choice,
                              const Settings& settings) {
    at::Tensor hidden = pre;
    if (settings.gated) {
      hidden = empty_rows(pre, settings, pre.size(1) / 2);
      geglu_out(pre, hidden);
    } else if (settings.dropout > 0) {
      hidden = empty_rows(pre, settings, pre.size(1));
      hidden.copy_(pre);
    }
    if (settings.dropout > 0) {
      drop_out(hidden, choice + settings.first_choice, settings.dropout, settings.stream);
    }
    return hidden;
  }

  /// Adds wo's gradient; -> the gradient of `pre`.
  static at::Tensor hidden_backward(const at::Tensor& pre, const at::Tensor& dy,
                                    const at::Tensor& choice, const Settings& settings,
                                    const RowOffsets& offsets, Parameter& wo) {
    layer_weight_gradient(dy, hidden_of(pre, choice, settings), offsets, wo);
    const at::Tensor dhidden = empty_rows(pre, settings, wo.compute().size(2));
    layer_input_gradient(dy, offsets, wo.compute(), settings.gated ? at::Tensor() : pre, dhidden);
    if (settings.dropout > 0) {
      drop_out(dhidden, choice + settings.first_choice, settings.dropout, settings.stream);
    }
    if (!settings.gated) return dhidden;
    const at::Tensor dpre = empty_rows(pre, settings, pre.size(1));
    geglu_backward_out(pre, dhidden, dpre);
    return dpre;
  }
};

}  // namespace

at::Tensor expert_feed_forward(const at::Tensor& x, const RoutingPlan& plan, Parameter& wi,
                               Parameter& wo, const ExpertOptions& options) {
  return Experts::apply(x, plan.gate, wi.value(), wo.value(), &wi, &wo, plan, options);
}

at::Tensor expert_linear(const at::Tensor& x, const RoutingPlan& plan, Parameter& w) {
  // Every input must be defined: the weight stands in for wi.
  return Experts::apply(x, plan.gate, w.value(), w.value(), nullptr, &w, plan, ExpertOptions{});
}

}  // namespace switchyard::ops
