#include "model/parallel/expert_dispatch.h"

#include <torch/csrc/autograd/custom_function.h>

#include <memory>
#include <utility>

#include "base/profile.h"
#include "model/parallel/expert_exchange.h"
#include "ops/expert_rows.h"
#include "ops/parameter_bridge.h"
#include "ops/row_moves.h"

namespace switchyard {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What a layer's backward pass needs besides tensors that autograd watches over.
struct Layer : torch::CustomClassHolder {
  Layer(ExpertExchange made, const ops::ExpertSettings& by)
      : exchange(std::move(made)), settings(by) {}

  ExpertExchange exchange;
  ops::ExpertSettings settings;
  int64_t num_tokens = 0, num_choices = 1;
  std::vector<int64_t> gate_shape;
};

at::Tensor rows_of(const at::Tensor& all, const ExchangeChunk& chunk) {
  return all.narrow(0, chunk.receive_begin, chunk.num_received);
}

/// Sends all chunks, calls work(chunk, received rows by expert) -> results by expert for each as it
/// comes, and sends those back. `rows` [R, D] in the order of sending -> [R, width] likewise.
template <class Work>
at::Tensor exchange_rows(const ExpertExchange& exchange, const at::Tensor& rows, int64_t width,
                         const Work& work) {
  const at::Tensor received = at::empty({exchange.num_received(), rows.size(1)}, rows.options());
  const at::Tensor results = at::empty({exchange.num_received(), width}, rows.options());
  const at::Tensor back = at::empty({rows.size(0), width}, rows.options());
  std::vector<Pending> coming, returning;
  for (const ExchangeChunk& chunk : exchange.chunks()) {
    coming.push_back(exchange.start(chunk, rows, received));
  }
  for (size_t c = 0; c < coming.size(); ++c) {
    const ExchangeChunk& chunk = exchange.chunks()[c];
    {
      const ProfileScope profile("waits for experts' rows");
      coming[c].wait();
    }
    const at::Tensor by_expert = rows_of(received, chunk).index_select(0, chunk.order);
    ops::scatter_rows(work(c, by_expert), chunk.order, rows_of(results, chunk));
    returning.push_back(exchange.start_back(chunk, results, back));
  }
  const ProfileScope profile("waits for experts' rows");
  for (Pending& pending : returning) pending.wait();
  return back;
}

/// The dropout keys of the rows that come, by expert, chunk by chunk; undefined without dropout.
std::vector<at::Tensor> exchange_keys(const ExpertExchange& exchange, const at::Tensor& keys,
                                      bool needed) {
  std::vector<at::Tensor> by_chunk(exchange.chunks().size());
  if (!needed) return by_chunk;
  const at::Tensor rows = keys.unsqueeze(1);
  const at::Tensor received = at::empty({exchange.num_received(), 1}, at::kLong);
  for (size_t c = 0; c < by_chunk.size(); ++c) {
    const ExchangeChunk& chunk = exchange.chunks()[c];
    exchange.start(chunk, rows, received).wait();
    by_chunk[c] = rows_of(received, chunk).index_select(0, chunk.order).view(-1);
  }
  return by_chunk;
}

class Dispatch : public torch::autograd::Function<Dispatch> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_variable,
                            const at::Tensor& gate, const at::Tensor& /*wi_value*/,
                            const at::Tensor& /*wo_value*/, Parameter* wi, Parameter* wo,
                            const RoutingPlan& plan, const ops::ExpertOptions& options,
                            Communicator* ranks, int64_t chunks) {
    const ProfileScope profile("experts forward");
    const at::Tensor x = x_variable.detach();
    const auto layer =
        c10::make_intrusive<Layer>(ExpertExchange(plan, *ranks, chunks), ops::settings_of(options));
    layer->num_tokens = x.size(0);
    layer->num_choices = plan.num_choices;
    layer->gate_shape = gate.sizes().vec();
    const ExpertExchange& exchange = layer->exchange;
    const at::Tensor token = ops::tokens_of_rows(plan).index_select(0, exchange.send_order());
    const at::Tensor choice = plan.row_choice.index_select(0, exchange.send_order());
    const std::vector<at::Tensor> keys = exchange_keys(
        exchange, choice + options.first_token * plan.num_choices, options.dropout > 0);
    variable_list saved;  // rows, pre and keys of each chunk
    const at::Tensor y = exchange_rows(
        exchange, x.index_select(0, token), wo->value().size(1),
        [&](size_t c, const at::Tensor& rows) {
          ops::ExpertRows work{rows, keys[c], {}, exchange.chunks()[c].offsets};
          const at::Tensor results = ops::experts_forward(work, wi, *wo, layer->settings);
          saved.insert(saved.end(), {work.rows, work.pre, work.keys});
          return results;
        });
    const at::Tensor row_gate = gate.detach().reshape(-1).index_select(0, choice);
    const at::Tensor out =
        ops::combine_rows(y, row_gate, token, layer->num_tokens, layer->num_choices);
    if (wi) save_parameter(context, "wi", *wi);
    save_parameter(context, "wo", *wo);
    context->saved_data["layer"] = c10::IValue::make_capsule(layer);
    saved.insert(saved.end(), {y, row_gate, token, choice});
    context->save_for_backward(saved);
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const ProfileScope profile("experts backward");
    Parameter* const wi =
        context->saved_data.count("wi") > 0 ? &saved_parameter(context, "wi") : nullptr;
    Parameter& wo = saved_parameter(context, "wo");
    const auto layer =
        c10::static_intrusive_pointer_cast<Layer>(context->saved_data["layer"].toCapsule());
    const ExpertExchange& exchange = layer->exchange;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor *own = saved.data(), *last = own + 3 * exchange.chunks().size();
    const at::Tensor &y = last[0], &row_gate = last[1], &token = last[2], &choice = last[3];
    const at::Tensor dy = at::empty_like(y), row_gate_gradient = at::empty_like(row_gate);
    ops::combine_rows_backward(gradients[0].contiguous(), y, row_gate, token, dy,
                               row_gate_gradient);
    const int64_t width = wi ? wi->value().size(2) : wo.value().size(2);
    const at::Tensor dx =
        exchange_rows(exchange, dy, width, [&](size_t c, const at::Tensor& by_expert) {
          const at::Tensor* of_chunk = own + 3 * c;
          const ops::ExpertRows work{of_chunk[0], of_chunk[2], of_chunk[1],
                                     exchange.chunks()[c].offsets};
          return ops::experts_backward(work, by_expert, wi, wo, layer->settings);
        });
    const at::Tensor gate_gradient = at::zeros(layer->gate_shape, row_gate.options());
    gate_gradient.view(-1).index_copy_(0, choice, row_gate_gradient);
    variable_list result(10);
    result[0] = ops::sum_rows(dx, token, layer->num_tokens, layer->num_choices);
    result[1] = gate_gradient;
    return result;
  }
};

}  // namespace

at::Tensor dispatch_experts(const at::Tensor& x, const RoutingPlan& plan, Parameter* wi,
                            Parameter& wo, const ops::ExpertOptions& options, Communicator& ranks,
                            int64_t chunks) {
  // Every input must be defined: linear experts' weight stands in for wi.
  return Dispatch::apply(x, plan.gate, (wi ? *wi : wo).value(), wo.value(), wi, &wo, plan, options,
                         &ranks, chunks);
}

}  // namespace switchyard
