#include "ops/expert_rows.h"

#include "ops/row_moves.h"

namespace switchyard::ops {
namespace {

at::Tensor rows_like(const at::Tensor& like, const ExpertSettings& settings, int64_t width) {
  return empty_rows(like, like.size(0), settings.most_rows, width);
}

/// hidden times its dropout mask, in place.
void drop_out(const at::Tensor& hidden, const at::Tensor& keys, const ExpertSettings& settings) {
  at::Tensor(hidden).mul_(
      dropout_mask(hidden, keys, settings.dropout, settings.stream, settings.columns));
}

/// What the second product reads: `pre` itself, or a new tensor.
at::Tensor hidden_of(const ExpertRows& work, const ExpertSettings& settings) {
  const at::Tensor& pre = work.pre;
  at::Tensor hidden = pre;
  if (settings.gated) {
    hidden = rows_like(pre, settings, pre.size(1) / 2);
    geglu_out(pre, hidden);
  } else if (settings.dropout > 0) {
    hidden = rows_like(pre, settings, pre.size(1));
    hidden.copy_(pre);
  }
  if (settings.dropout > 0) drop_out(hidden, work.keys, settings);
  return hidden;
}

/// Adds wo's gradient; -> the gradient of `pre`.
at::Tensor hidden_backward(const ExpertRows& work, const at::Tensor& dy, Parameter& wo,
                           const ExpertSettings& settings) {
  const at::Tensor& pre = work.pre;
  layer_weight_gradient(dy, hidden_of(work, settings), work.offsets, wo);
  const at::Tensor dhidden = rows_like(pre, settings, wo.compute().size(2));
  layer_input_gradient(dy, work.offsets, wo.compute(), settings.gated ? at::Tensor() : pre,
                       dhidden);
  if (settings.dropout > 0) drop_out(dhidden, work.keys, settings);
  if (!settings.gated) return dhidden;
  const at::Tensor dpre = rows_like(pre, settings, pre.size(1));
  geglu_backward_out(pre, dhidden, dpre);
  return dpre;
}

}  // namespace

at::Tensor experts_forward(ExpertRows& work, Parameter* wi, Parameter& wo,
                           const ExpertSettings& settings) {
  if (wi) {
    work.pre = rows_like(work.rows, settings, wi->compute().size(1));
    layer_forward(work.rows, work.offsets, wi->compute(), !settings.gated, work.pre);
  }
  const at::Tensor hidden = wi ? hidden_of(work, settings) : work.rows;
  const at::Tensor y = rows_like(work.rows, settings, wo.compute().size(1));
  layer_forward(hidden, work.offsets, wo.compute(), false, y);
  return y;
}

at::Tensor experts_backward(const ExpertRows& work, const at::Tensor& dy, Parameter* wi,
                            Parameter& wo, const ExpertSettings& settings) {
  const at::Tensor dx = rows_like(work.rows, settings, work.rows.size(1));
  if (!wi) {
    layer_weight_gradient(dy, work.rows, work.offsets, wo);
    layer_input_gradient(dy, work.offsets, wo.compute(), at::Tensor(), dx);
    return dx;
  }
  const at::Tensor dpre = hidden_backward(work, dy, wo, settings);
  layer_weight_gradient(dpre, work.rows, work.offsets, *wi);
  layer_input_gradient(dpre, work.offsets, wi->compute(), at::Tensor(), dx);
  return dx;
}

}  // namespace switchyard::ops
