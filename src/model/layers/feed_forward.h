// Dense feed-forward: ReLU(x wi^T) wo^T, or GEGLU with wi = [gate; linear]. F: d_ff.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "base/random.h"
#include "model/config.h"
#include "model/parameter_set.h"
#include "ops/ops.h"

namespace switchyard {

/// Truncated normal with sigma = sqrt(init_scale / fan_in): feed-forwards, untied output.
InitRule scaled_init(const ModelConfig& config, int64_t fan_in);
/// The same for routers, which may have a scale of their own.
InitRule router_init(const ModelConfig& config);

/// The columns of the inner width that this rank has of an output matrix [..., D, F].
ops::DropoutColumns inner_columns(const Parameter& wo);

class FeedForward {
 public:
  /// Creates `prefix.wi.weight` [F or 2F, D] and `prefix.wo.weight` [D, F], F shared out to the
  /// ranks along `model`.
  FeedForward(ParameterSet& parameters, const std::string& prefix, const ModelConfig& config);

  /// x [B, S, D] -> [B, S, D]; `rate` is the dropout after the activation, see ops::dropout.
  at::Tensor forward(const at::Tensor& x, double rate, const RandomStream& stream,
                     int64_t first_row) const;

 private:
  bool gated_;
  const Mesh* mesh_;
  Parameter *wi_, *wo_;
};

}  // namespace switchyard
