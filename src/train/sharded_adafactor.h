// Adafactor of matrices of which each rank along `model` has some rows or columns: means and sizes
// are those of the whole matrix.
#pragma once

#include <ATen/ATen.h>

#include "base/tensor_slice.h"
#include "comm/communicator.h"
#include "train/recipe.h"

namespace switchyard {

/// Of a parameter that is cut along one of the last two axes, what lies here.
struct AdafactorPart {
  at::Tensor value, gradient;  // [M, R, C], or [R, C]
  at::Tensor rows, columns;    // [M, R], [M, C] running means of g^2; `columns` undefined: not
                               // factored, `rows` has the shape of `value`
  at::Tensor moment;           // undefined: no momentum
  const TensorSlice* slice = nullptr;  // of `value`
  double decay = 0;
};

/// One update in place, see reference::adafactor(). `ranks` hold the other parts. Collective.
void sharded_adafactor(const OptimizerConfig& config, const AdafactorPart& part, int64_t step,
                       double rate, Communicator& ranks);

}  // namespace switchyard
