// The types of tensors that collectives sum.
#pragma once

#include <ATen/ATen.h>

#include "comm/communicator.h"

namespace switchyard {

/// Throws (TORCH_CHECK) for a type that no collective sums.
inline ElementType element_type(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return ElementType::kFloat32;
    case at::kDouble:
      return ElementType::kFloat64;
    case at::kBFloat16:
      return ElementType::kBfloat16;
    case at::kLong:
      return ElementType::kInt64;
    default:
      TORCH_CHECK(false, "ranks sum no ", tensor.scalar_type());
  }
}

/// tensor (contiguous) becomes the sum over the ranks.
inline void all_reduce(const at::Tensor& tensor, Communicator& ranks) {
  ranks.all_reduce(tensor.mutable_data_ptr(), tensor.numel(), element_type(tensor));
}

}  // namespace switchyard
