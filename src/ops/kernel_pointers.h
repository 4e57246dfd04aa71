// From tensors to the plain pointers that kernels take. The tensor must be contiguous and of type T
// (kernels::Bf16 for bfloat16); undefined tensors give null.
#pragma once

#include <ATen/ATen.h>

#include <type_traits>

#include "kernels/bf16.h"

namespace switchyard::ops {

template <class T>
void check_pointer(const at::Tensor& tensor) {
  constexpr at::ScalarType type = std::is_same_v<T, kernels::Bf16> ? at::kBFloat16
                                  : std::is_same_v<T, float>       ? at::kFloat
                                                                   : at::kLong;
  TORCH_CHECK(tensor.scalar_type() == type && tensor.is_contiguous(),
              "a kernel needs a contiguous tensor of ", type, ", not of ", tensor.scalar_type());
}

template <class T>
const T* read(const at::Tensor& tensor) {
  if (!tensor.defined()) return nullptr;
  check_pointer<T>(tensor);
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <class T>
T* write(const at::Tensor& tensor) {
  if (!tensor.defined()) return nullptr;
  check_pointer<T>(tensor);
  return static_cast<T*>(tensor.mutable_data_ptr());
}

}  // namespace switchyard::ops
