// Plain LibTorch versions of the optimizer updates, any float type: slow, obviously right.
#pragma once

#include <ATen/ATen.h>

#include "train/recipe.h"

namespace switchyard::reference {

/// One AdamW update of `value` in place. `step` counts from 1; `decay` is the weight decay.
inline void adamw(const OptimizerConfig& config, at::Tensor value, const at::Tensor& gradient,
                  at::Tensor first, at::Tensor second, int64_t step, double rate, double decay) {
  first.mul_(config.beta1).add_(gradient, 1 - config.beta1);
  second.mul_(config.beta2).add_(gradient.square(), 1 - config.beta2);
  const double correction1 = 1 - std::pow(config.beta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(config.beta2, static_cast<double>(step));
  const at::Tensor update =
      (first / correction1) / ((second / correction2).sqrt() + config.epsilon);
  value.mul_(1 - rate * decay).sub_(update, rate);
}

/// One Adafactor update of one matrix or vector. Factored if `columns` is defined: `rows` [R] and
/// `columns` [C] hold means of g^2 along the other axis; else `rows` has the shape of `value`.
/// `moment`, of that shape too, is the running mean of the steps; undefined: no momentum.
inline void adafactor(const OptimizerConfig& config, at::Tensor value, const at::Tensor& gradient,
                      at::Tensor rows, at::Tensor columns, at::Tensor moment, int64_t step,
                      double rate, double decay) {
  const double beta2 = 1 - std::pow(static_cast<double>(step), -config.decay_exponent);
  const at::Tensor squares = gradient.square() + 1e-30;
  at::Tensor update;
  if (columns.defined()) {
    rows.mul_(beta2).add_(squares.mean(1), 1 - beta2);
    columns.mul_(beta2).add_(squares.mean(0), 1 - beta2);
    update = gradient / (rows / rows.mean()).sqrt().unsqueeze(1) / columns.sqrt().unsqueeze(0);
  } else {
    rows.mul_(beta2).add_(squares, 1 - beta2);
    update = gradient / rows.sqrt();
  }
  const double size = update.square().mean().sqrt().item<double>();
  update = update / std::max(1.0, size / config.clip_threshold);
  const double scale =
      config.scale_parameter ? std::max(1e-3, value.square().mean().sqrt().item<double>()) : 1.0;
  at::Tensor change = update * (rate * scale);
  if (moment.defined()) {
    change = moment.mul_(config.momentum).add_(change, 1 - config.momentum);
  }
  value.mul_(1 - rate * decay).sub_(change);
}

}  // namespace switchyard::reference
