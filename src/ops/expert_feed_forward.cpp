// Experts over ragged rows. Tokens are gathered once per expert, each expert's products (two, or
// one of linear experts) run on one thread with experts spread over threads by their row counts,
// and results go straight to the tokens' places: no [tokens, E, C] mask and no pass over all tokens
// per expert.
//
// Example with E = 3, T = 5, expert of each token = 2 0 2 1 0:
//   row:      0 1 | 2 | 3 4          offsets = 0 2 3 5
//   token:    1 4 | 3 | 0 2          row_choice (K = 1)
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <tuple>

#include "base/profile.h"
#include "ops/activations.h"
#include "ops/ops.h"
#include "ops/parameter_bridge.h"
#include "ops/row_kernels.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Runs body(e) for every expert with rows, longest first onto the least busy thread. With one
/// expert the products themselves use all threads. What is computed does not depend on the split.
void for_each_expert(const std::vector<int64_t>& offsets,
                     const std::function<void(int64_t)>& body) {
  std::vector<int64_t> order;
  const auto rows = [&](int64_t e) {
    return offsets[static_cast<size_t>(e) + 1] - offsets[static_cast<size_t>(e)];
  };
  for (int64_t e = 0; e + 1 < static_cast<int64_t>(offsets.size()); ++e) {
    if (rows(e) > 0) order.push_back(e);
  }
  if (order.size() == 1) {
    body(order[0]);
    return;
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return rows(a) > rows(b); });
  const auto threads = static_cast<size_t>(std::max(1, at::get_num_threads()));
  std::vector<std::vector<int64_t>> share(threads);
  std::vector<int64_t> busy(threads, 0);
  for (const int64_t e : order) {
    const auto least = std::min_element(busy.begin(), busy.end()) - busy.begin();
    share[static_cast<size_t>(least)].push_back(e);
    busy[static_cast<size_t>(least)] += rows(e);
  }
  at::parallel_for(0, static_cast<int64_t>(threads), 1, [&](int64_t begin, int64_t end) {
    const c10::NoGradGuard no_grad;  // grad mode is per thread
    for (int64_t thread = begin; thread < end; ++thread) {
      for (const int64_t e : share[static_cast<size_t>(thread)]) body(e);
    }
  });
}

struct Rows {
  int64_t begin, count;
};
Rows rows_of(const std::vector<int64_t>& offsets, int64_t e) {
  const int64_t begin = offsets[static_cast<size_t>(e)];
  return {begin, offsets[static_cast<size_t>(e) + 1] - begin};
}

// Where each expert's rows lie in the working buffers. LibTorch compiles a bfloat16 product for
// each shape that it meets, for longer than the product takes, and experts get a new number of rows
// in every step: rows are padded with zeros to a few numbers. One expert needs none, and must give
// the dense layer's bits.
std::vector<int64_t> padded_offsets(const std::vector<int64_t>& offsets, at::ScalarType type) {
  if (type != at::kBFloat16 || offsets.size() <= 2) return offsets;
  std::vector<int64_t> padded = {0};
  for (size_t e = 0; e + 1 < offsets.size(); ++e) {
    const int64_t count = offsets[e + 1] - offsets[e], step = count <= 64 ? 16 : 32;
    padded.push_back(padded.back() + (count + step - 1) / step * step);
  }
  return padded;
}

// The rows of one expert in a padded buffer: all of them, and the `count` that hold something.
at::Tensor padded_rows(const at::Tensor& buffer, const std::vector<int64_t>& padded, int64_t e) {
  const Rows rows = rows_of(padded, e);
  return buffer.narrow(0, rows.begin, rows.count);
}
void zero_from(const at::Tensor& rows, int64_t count) {
  if (count < rows.size(0)) rows.narrow(0, count, rows.size(0) - count).zero_();
}

// The three loops of row_kernels.h on tensors. The gate is float32 for bfloat16 rows, else of the
// rows' own type.
void combine(const at::Tensor& y, const at::Tensor& gate, const at::Tensor& index,
             const at::Tensor& out) {
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, y.scalar_type(), "combine", [&] {
    using Gate = std::conditional_t<std::is_same_v<scalar_t, double>, double, float>;
    rows::scatter_scaled(y.const_data_ptr<scalar_t>(), gate.const_data_ptr<Gate>(),
                         index.const_data_ptr<int64_t>(), y.size(0), y.size(1),
                         out.mutable_data_ptr<scalar_t>());
  });
}

void combine_backward(const at::Tensor& upstream, const at::Tensor& y, const at::Tensor& gate,
                      const at::Tensor& index, const at::Tensor& scaled, const at::Tensor& dot) {
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, y.scalar_type(), "combine_backward", [&] {
    using Gate = std::conditional_t<std::is_same_v<scalar_t, double>, double, float>;
    rows::gather_scaled(upstream.const_data_ptr<scalar_t>(), y.const_data_ptr<scalar_t>(),
                        gate.const_data_ptr<Gate>(), index.const_data_ptr<int64_t>(), y.size(0),
                        y.size(1), scaled.mutable_data_ptr<scalar_t>(),
                        dot.mutable_data_ptr<Gate>());
  });
}

// Dropout of the first keys.numel() rows, in place.
void drop_out(const at::Tensor& hidden, const at::Tensor& keys, double rate,
              const RandomStream& stream) {
  at::Tensor filled = hidden.narrow(0, 0, keys.size(0));
  filled.mul_(dropout_mask(filled, keys, rate, stream));
}

// out[index[r]] = rows[r].
void scatter_rows(const at::Tensor& rows, const at::Tensor& index, const at::Tensor& out) {
  const auto bytes = static_cast<size_t>(rows.size(1) * rows.element_size());
  const auto* from = static_cast<const char*>(rows.const_data_ptr());
  auto* to = static_cast<char*>(out.mutable_data_ptr());
  const int64_t* place = index.const_data_ptr<int64_t>();
  for (int64_t r = 0; r < rows.size(0); ++r) {
    std::memcpy(to + static_cast<size_t>(place[r]) * bytes, from + static_cast<size_t>(r) * bytes,
                bytes);
  }
}

// A weight gradient of all experts. Products in the gradient's own type go straight into it; others
// pass through one scratch matrix per thread, and their squares are counted on the way.
class ExpertGradient {
 public:
  ExpertGradient(Parameter& parameter, at::ScalarType product_type) : parameter_(parameter) {
    std::tie(buffer_, accumulate_) = parameter.gradient_for_writing();
    if (product_type == buffer_.scalar_type()) return;
    scratch_ = at::empty({at::get_num_threads(), buffer_.size(1), buffer_.size(2)}, product_type);
    squares_.assign(static_cast<size_t>(buffer_.size(0)), 0.0);
  }
  /// gradient of expert e (+)= a b. Any thread, one at a time per expert.
  void write(int64_t e, const at::Tensor& a, const at::Tensor& b) {
    at::Tensor own = buffer_.select(0, e);
    if (!scratch_.defined()) {
      accumulate_ ? own.addmm_(a, b) : at::mm_out(own, a, b);
      return;
    }
    at::Tensor product = scratch_.select(0, at::get_thread_num());
    at::mm_out(product, a, b);
    if (accumulate_) {
      own.add_(product);
      return;
    }
    squares_[static_cast<size_t>(e)] = rows::widen_and_square(
        product.const_data_ptr<at::BFloat16>(), own.numel(), own.mutable_data_ptr<float>());
  }
  void write_idle(int64_t e) const {
    if (!accumulate_) buffer_.select(0, e).zero_();
  }
  /// After the last expert.
  void finish() const {
    if (accumulate_ || !scratch_.defined()) return;
    parameter_.set_gradient_squares(std::accumulate(squares_.begin(), squares_.end(), 0.0));
  }

 private:
  Parameter& parameter_;
  at::Tensor buffer_, scratch_;
  std::vector<double> squares_;  // [E]
  bool accumulate_ = false;
};

// Without `wi` (null) experts are linear: no activation, no dropout.
class Experts : public torch::autograd::Function<Experts> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_variable,
                            const at::Tensor& gate, const at::Tensor& /*wi_value*/,
                            const at::Tensor& /*wo_value*/, Parameter* wi, Parameter* wo,
                            const RoutingPlan& plan, const ExpertOptions& options) {
    const ProfileScope profile("experts forward");
    const at::Tensor x = x_variable.detach();
    const int64_t width = x.size(1), out_width = wo->compute().size(1);
    const at::Tensor token =
        plan.num_choices == 1 ? plan.row_choice : plan.row_choice.floor_divide(plan.num_choices);
    const std::vector<int64_t> padded = padded_offsets(plan.offsets, x.scalar_type());
    const at::Tensor rows = at::empty({padded.back(), width}, x.options());
    const at::Tensor row_gate = gate.detach().reshape(-1).index_select(0, plan.row_choice);
    const at::Tensor y = at::empty({padded.back(), out_width}, x.options());
    const at::Tensor out = at::zeros({x.size(0), out_width}, x.options());
    at::Tensor pre, scaled, gated;
    if (wi) pre = at::empty({padded.back(), wi->compute().size(1)}, x.options());
    if (plan.num_choices > 1) scaled = at::empty({plan.num_rows(), out_width}, x.options());
    if (wi && options.gated) gated = at::empty({padded.back(), wo->compute().size(2)}, x.options());
    const int64_t first_choice = options.first_token * plan.num_choices;
    for_each_expert(plan.offsets, [&](int64_t e) {
      const auto [begin, count] = rows_of(plan.offsets, e);
      const at::Tensor tokens = token.narrow(0, begin, count);
      const at::Tensor own_rows = padded_rows(rows, padded, e);
      at::Tensor filled = own_rows.narrow(0, 0, count);
      at::index_select_out(filled, x, 0, tokens);
      zero_from(own_rows, count);
      at::Tensor hidden = own_rows;
      if (wi) {
        at::Tensor own_pre = padded_rows(pre, padded, e);
        at::mm_out(own_pre, own_rows, wi->compute().select(0, e).t());
        // ReLU's own output is enough for its gradient, so it may overwrite.
        hidden = options.gated ? padded_rows(gated, padded, e) : own_pre;
        (options.gated ? geglu_out : relu_out)(own_pre, hidden);
        if (options.dropout > 0) {
          hidden = hidden.clone();
          drop_out(hidden, plan.row_choice.narrow(0, begin, count) + first_choice, options.dropout,
                   options.dropout_stream);
        }
      }
      at::Tensor padded_y = padded_rows(y, padded, e);
      at::mm_out(padded_y, hidden, wo->compute().select(0, e).t());
      const at::Tensor own_y = padded_y.narrow(0, 0, count);
      if (plan.num_choices == 1) {
        combine(own_y, row_gate.narrow(0, begin, count), tokens, out);  // distinct rows: no clash
      } else {
        combine(own_y, row_gate.narrow(0, begin, count), at::arange(count, at::kLong),
                scaled.narrow(0, begin, count));
      }
    });
    if (plan.num_choices > 1) at::Tensor(out).index_add_(0, token, scaled);
    if (wi) save_parameter(context, "wi", *wi);
    save_parameter(context, "wo", *wo);
    context->saved_data["offsets"] = plan.offsets;
    context->saved_data["gated"] = options.gated;
    context->saved_data["dropout"] = options.dropout;
    context->saved_data["first_choice"] = first_choice;
    context->saved_data["stream"] = std::string(
        reinterpret_cast<const char*>(&options.dropout_stream), sizeof options.dropout_stream);
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
    const std::vector<int64_t> offsets = context->saved_data["offsets"].toIntVector();
    const bool gated = wi && context->saved_data["gated"].toBool();
    const double rate = context->saved_data["dropout"].toDouble();
    const int64_t first_choice = context->saved_data["first_choice"].toInt();
    RandomStream stream(0, 0);
    std::memcpy(&stream, context->saved_data["stream"].toStringRef().data(), sizeof stream);
    const auto saved = context->get_saved_variables();
    const at::Tensor &rows = saved[0], &pre = saved[1], &y = saved[2], &row_gate = saved[3],
                     &token = saved[4], &choice = saved[5];
    const at::Tensor out_gradient = gradients[0].contiguous();
    const int64_t num_tokens = context->saved_data["num_tokens"].toInt();
    const bool one_choice = context->saved_data["gate_shape"].toIntVector().back() == 1;
    const at::ScalarType gate_type = rows.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor x_gradient = at::zeros({num_tokens, rows.size(1)}, rows.options());
    const at::Tensor row_gate_gradient = at::empty({choice.size(0)}, gate_type);
    at::Tensor row_x_gradient;
    if (!one_choice) row_x_gradient = at::empty({choice.size(0), rows.size(1)}, rows.options());
    const std::vector<int64_t> padded = padded_offsets(offsets, rows.scalar_type());
    std::optional<ExpertGradient> wi_gradient;
    if (wi) wi_gradient.emplace(*wi, rows.scalar_type());
    ExpertGradient wo_gradient(wo, rows.scalar_type());
    for (int64_t e = 0; e + 1 < static_cast<int64_t>(offsets.size()); ++e) {
      if (rows_of(offsets, e).count > 0) continue;
      if (wi) wi_gradient->write_idle(e);
      wo_gradient.write_idle(e);
    }
    // Buffers of all experts at once instead of several per expert.
    const at::Tensor all_dy = at::empty_like(y), all_dx = at::empty_like(rows);
    at::Tensor all_dh, all_hidden, all_dpre;
    if (wi) all_dh = at::empty({rows.size(0), wo.compute().size(2)}, rows.options());
    if (gated) {
      all_hidden = at::empty_like(all_dh);
      all_dpre = at::empty_like(pre);
    }
    for_each_expert(offsets, [&](int64_t e) {
      const auto [begin, count] = rows_of(offsets, e);
      const at::Tensor tokens = token.narrow(0, begin, count);
      const at::Tensor own_rows = padded_rows(rows, padded, e);
      const at::Tensor dy = padded_rows(all_dy, padded, e);
      combine_backward(out_gradient, padded_rows(y, padded, e).narrow(0, 0, count),
                       row_gate.narrow(0, begin, count), tokens, dy.narrow(0, 0, count),
                       row_gate_gradient.narrow(0, begin, count));
      zero_from(dy, count);
      at::Tensor padded_dx = padded_rows(all_dx, padded, e);
      if (!wi) {
        wo_gradient.write(e, dy.t(), own_rows);
        at::mm_out(padded_dx, dy, wo.compute().select(0, e));
      } else {
        const at::Tensor own_pre = padded_rows(pre, padded, e);
        at::Tensor hidden = gated ? padded_rows(all_hidden, padded, e) : own_pre;
        if (gated) geglu_out(own_pre, hidden);
        at::Tensor dh = padded_rows(all_dh, padded, e);
        at::mm_out(dh, dy, wo.compute().select(0, e));
        if (rate > 0) {
          const at::Tensor keys = choice.narrow(0, begin, count) + first_choice;
          hidden = hidden.clone();
          drop_out(hidden, keys, rate, stream);
          drop_out(dh, keys, rate, stream);
        }
        wo_gradient.write(e, dy.t(), hidden);
        const at::Tensor dpre = gated ? padded_rows(all_dpre, padded, e) : dh;
        (gated ? geglu_backward_out : relu_backward_out)(own_pre, dh, dpre);
        wi_gradient->write(e, dpre.t(), own_rows);
        at::mm_out(padded_dx, dpre, wi->compute().select(0, e));
      }
      const at::Tensor dx = padded_dx.narrow(0, 0, count);
      if (one_choice) {
        scatter_rows(dx, tokens, x_gradient);
      } else {
        row_x_gradient.narrow(0, begin, count).copy_(dx);
      }
    });
    if (wi) wi_gradient->finish();
    wo_gradient.finish();
    if (!one_choice) at::Tensor(x_gradient).index_add_(0, token, row_x_gradient);
    const at::Tensor gate_gradient =
        at::zeros(context->saved_data["gate_shape"].toIntVector(), gate_type);
    gate_gradient.view(-1).index_copy_(0, choice, row_gate_gradient);
    return {x_gradient,   gate_gradient, at::Tensor(), at::Tensor(),
            at::Tensor(), at::Tensor(),  at::Tensor(), at::Tensor()};
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
