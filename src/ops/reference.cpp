#include "ops/reference.h"

#include <ATen/Dispatch.h>

#include "ops/activations.h"

namespace switchyard::reference {
namespace {

// Softmax, norms and losses run in float32, or in float64 when a test asks for it.
at::ScalarType wide(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& scale, double epsilon) {
  const at::Tensor wide_x = x.to(wide(x));
  const at::Tensor normed =
      wide_x * at::rsqrt(wide_x.square().mean(-1, /*keepdim=*/true) + epsilon);
  return (normed * scale.to(wide(x))).to(x.scalar_type());
}

at::Tensor geglu(const at::Tensor& x) {
  const auto halves = x.chunk(2, -1);
  return at::gelu(halves[0], "tanh") * halves[1];
}

at::Tensor jitter(const at::Tensor& x, double amount, const RandomStream& stream,
                  int64_t first_row) {
  const at::Tensor factors = at::empty(x.sizes(), wide(x));
  const int64_t width = x.size(1), draws = (width + 3) / 4;
  AT_DISPATCH_FLOATING_TYPES(factors.scalar_type(), "jitter", [&] {
    scalar_t* out = factors.mutable_data_ptr<scalar_t>();
    for (int64_t r = 0; r < x.size(0); ++r) {
      for (int64_t i = 0; i < width; ++i) {
        const auto draw = static_cast<uint64_t>((first_row + r) * draws + i / 4);
        const float u = to_unit_float(stream.draw(draw)[static_cast<size_t>(i % 4)]);
        out[r * width + i] = static_cast<scalar_t>(1.0 - amount + 2.0 * amount * u);
      }
    }
  });
  return (x.to(wide(x)) * factors).to(x.scalar_type());
}

at::Tensor attention(const ops::AttentionInput& in) {
  const int64_t s = in.query.size(1);
  const int64_t t = in.key.size(1);
  const at::ScalarType type = wide(in.query);
  const at::Tensor q = in.query.transpose(1, 2).to(type);  // [B, H, S, K]
  const at::Tensor k = in.key.transpose(1, 2).to(type);
  const at::Tensor v = in.value.transpose(1, 2).to(type);
  at::Tensor scores = at::matmul(q, k.transpose(-1, -2));  // [B, H, S, T]
  const auto index = at::TensorOptions(at::kLong).device(q.device());
  const at::Tensor rows = at::arange(s, index).unsqueeze(1);
  const at::Tensor columns = at::arange(t, index).unsqueeze(0);
  if (in.offset_bias.defined()) {
    const at::Tensor offsets = (columns - rows + (s - 1)).reshape(-1);
    scores = scores + in.offset_bias.to(type).index_select(1, offsets).view({-1, s, t});
  }
  at::Tensor visible = at::ones({1, 1, s, t}, index.dtype(at::kBool));
  if (in.causal) visible = visible & (columns <= rows + (t - s));
  if (in.query_segments.defined()) {
    visible =
        visible & (in.query_segments.unsqueeze(2) == in.key_segments.unsqueeze(1)).unsqueeze(1);
  }
  scores = scores.masked_fill(visible.logical_not(), -std::numeric_limits<double>::infinity());
  const at::Tensor any = visible.any(-1, /*keepdim=*/true);
  // A row that sees nothing would be 0 / 0.
  scores = scores.masked_fill(any.logical_not(), 0.0);
  const at::Tensor probabilities = at::softmax(scores, -1) * any.to(type);
  return at::matmul(probabilities, v).transpose(1, 2).to(in.query.scalar_type());
}

namespace {

/// out[token] += gate * expert(e, rows, choices), expert after expert. -> [N, width]
template <class Expert>
at::Tensor over_experts(const at::Tensor& x, const RoutingPlan& plan, int64_t width,
                        const Expert& expert) {
  at::Tensor out = at::zeros({x.size(0), width}, x.options());
  for (int64_t e = 0; e < plan.num_experts; ++e) {
    const int64_t begin = plan.offsets[static_cast<size_t>(e)];
    const int64_t count = plan.offsets[static_cast<size_t>(e) + 1] - begin;
    if (count == 0) continue;
    const at::Tensor choices = plan.row_choice.narrow(0, begin, count);
    const at::Tensor tokens = choices.floor_divide(plan.num_choices);
    const at::Tensor y = expert(e, x.index_select(0, tokens), choices);
    const at::Tensor gate = plan.gate.reshape(-1).index_select(0, choices).unsqueeze(1);
    out = out.index_add(0, tokens, y * gate.to(y.scalar_type()));
  }
  return out;
}

}  // namespace

at::Tensor expert_feed_forward(const at::Tensor& x, const RoutingPlan& plan, const at::Tensor& wi,
                               const at::Tensor& wo, const ops::ExpertOptions& options) {
  return over_experts(
      x, plan, wo.size(1), [&](int64_t e, const at::Tensor& rows, const at::Tensor& choices) {
        const at::Tensor pre = at::mm(rows, wi.select(0, e).t());
        at::Tensor hidden = options.gated ? geglu(pre) : at::relu(pre);
        if (options.dropout > 0) {
          hidden = ops::expert_dropout(hidden, choices + options.first_token * plan.num_choices,
                                       options.dropout, options.dropout_stream);
        }
        return at::mm(hidden, wo.select(0, e).t());
      });
}

at::Tensor expert_linear(const at::Tensor& x, const RoutingPlan& plan, const at::Tensor& w) {
  return over_experts(x, plan, w.size(1),
                      [&](int64_t e, const at::Tensor& rows, const at::Tensor&) {
                        return at::mm(rows, w.select(0, e).t());
                      });
}

CrossEntropy cross_entropy(const at::Tensor& hidden, const at::Tensor& table,
                           const at::Tensor& targets, double scale) {
  const at::Tensor logits = at::mm(hidden, table.t()).to(wide(hidden)) * scale;
  const at::Tensor real = targets.gt(0);
  const at::Tensor log_z = at::logsumexp(logits, {-1});
  const at::Tensor picked = logits.gather(1, targets.unsqueeze(1)).squeeze(1);
  const at::Tensor log_probs = at::where(real, picked - log_z, at::zeros_like(picked));
  return {-log_probs.sum(), at::where(real, log_z.square(), at::zeros_like(log_z)).sum(),
          (logits.argmax(-1).eq(targets) & real).sum(), log_probs.detach()};
}

Distillation distillation(const at::Tensor& hidden, const at::Tensor& table,
                          const at::Tensor& targets, double scale, const Teacher& teacher) {
  const auto log_p = [&](const at::Tensor& h, const at::Tensor& w, double factor) {
    const at::Tensor logits = at::mm(h, w.t()).to(wide(hidden)) * (factor / teacher.temperature);
    return at::log_softmax(logits, -1);
  };
  const at::Tensor ours = log_p(hidden, table, scale);
  const at::Tensor theirs = log_p(teacher.hidden, teacher.table, teacher.scale).exp().detach();
  const at::Tensor rows = -(theirs * ours).sum(-1);
  return {cross_entropy(hidden, table, targets, scale),
          at::where(targets.gt(0), rows, at::zeros_like(rows)).sum()};
}

}  // namespace switchyard::reference
