// What experts compute on rows that lie expert by expert, forward and backward, without autograd:
// for the autograd functions that bring the rows there (ops/expert_feed_forward.cpp on one rank,
// model/parallel/expert_dispatch.cpp over several). R: rows, D: inputs, F: inner width, O: outputs.
#pragma once

#include <ATen/ATen.h>

#include <type_traits>

#include "base/random.h"
#include "ops/activations.h"
#include "ops/layer_products.h"
#include "ops/ops.h"
#include "ops/parameter.h"

namespace switchyard::ops {

struct ExpertSettings {
  bool gated = false;
  double dropout = 0;
  RandomStream stream{0, 0};
  DropoutColumns columns;  // of the inner width, where a rank holds a part
  int64_t most_rows = 0;   // room for as many, empty_rows()
};
static_assert(std::is_trivially_copyable_v<ExpertSettings>);
/// All but most_rows.
ExpertSettings settings_of(const ExpertOptions& options);

/// What the backward pass needs of the forward pass.
struct ExpertRows {
  at::Tensor rows;  // [R, D]
  at::Tensor keys;  // [R] int64, of each row's dropout
  at::Tensor pre;   // [R, F or 2F] before GEGLU's gate, or ReLU's own output; undefined if linear
  RowOffsets offsets;  // rows of each expert
};

/// [R, O]. `wi` null: experts are linear. Fills work.pre; rows, keys and offsets are given.
at::Tensor experts_forward(ExpertRows& work, Parameter* wi, Parameter& wo,
                           const ExpertSettings& settings);
/// From dy [R, O] the gradient of the rows [R, D]; adds those of the weights.
at::Tensor experts_backward(const ExpertRows& work, const at::Tensor& dy, Parameter* wi,
                            Parameter& wo, const ExpertSettings& settings);

}  // namespace switchyard::ops
