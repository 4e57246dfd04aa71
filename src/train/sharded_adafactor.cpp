#include "train/sharded_adafactor.h"

#include <cmath>

#include "model/parallel/element_type.h"

namespace switchyard {
namespace {

constexpr double kSmallestSquare = 1e-30;

/// A running mean of `mean`, in place.
void add_mean(at::Tensor running, const at::Tensor& mean, double beta2) {
  running.mul_(beta2).add_(mean.view(running.sizes()), 1 - beta2);
}

}  // namespace

void sharded_adafactor(const OptimizerConfig& config, const AdafactorPart& part, int64_t step,
                       double rate, Communicator& ranks) {
  const double beta2 = 1 - std::pow(static_cast<double>(step), -config.decay_exponent);
  const std::vector<int64_t> whole = part.slice->whole_shape();
  const size_t dims = whole.size();
  const auto num_rows = static_cast<double>(whole[dims - 2]);
  const auto num_columns = static_cast<double>(whole[dims - 1]);
  const bool rows_cut = part.slice->parts(dims - 2) > 1;
  const auto summed = [&](const at::Tensor& own, bool over_ranks) {
    at::Tensor sum = own.contiguous();
    if (over_ranks) all_reduce(sum, ranks);
    return sum;
  };
  // As M matrices, one where the parameter is no stack.
  const auto stacked = [&](const at::Tensor& tensor, int64_t axes) {
    return tensor.dim() == axes ? tensor.unsqueeze(0) : tensor;
  };
  const at::Tensor value = stacked(part.value, 2), g = stacked(part.gradient, 2);
  const at::Tensor squares = g.square() + kSmallestSquare;
  at::Tensor update;  // [M, R, C]
  if (part.columns.defined()) {
    add_mean(part.rows, summed(squares.sum(2), !rows_cut) / num_columns, beta2);
    add_mean(part.columns, summed(squares.sum(1), rows_cut) / num_rows, beta2);
    const at::Tensor rows = stacked(part.rows, 1), columns = stacked(part.columns, 1);
    const at::Tensor mean = summed(rows.sum(1, /*keepdim=*/true), rows_cut) / num_rows;  // [M, 1]
    update = g / (rows / mean).sqrt().unsqueeze(2) / columns.sqrt().unsqueeze(1);
  } else {
    add_mean(part.rows, squares, beta2);
    update = g / stacked(part.rows, 2).sqrt();
  }
  // Root mean squares of update and value, [2, M].
  const at::Tensor sums = at::stack({update.square().sum({1, 2}), value.square().sum({1, 2})});
  const at::Tensor sizes = (summed(sums, true) / (num_rows * num_columns)).sqrt();
  at::Tensor factor = rate / (sizes[0] / config.clip_threshold).clamp_min(1.0);
  if (config.scale_parameter) factor = factor * sizes[1].clamp_min(1e-3);
  at::Tensor change = update * factor.view({-1, 1, 1});
  if (part.moment.defined()) {
    at::Tensor moment = stacked(part.moment, 2);
    change = moment.mul_(config.momentum).add_(change, 1 - config.momentum);
  }
  at::Tensor(value).mul_(1 - rate * part.decay).sub_(change);
}

}  // namespace switchyard
