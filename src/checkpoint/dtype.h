// Element types of stored tensors, named as safetensors and Hugging Face's config.json do.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace switchyard {

enum class DType {
  kBool,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kI64,
  kU64,
  kF64
};

/// "F32", "BF16", ...
const char* dtype_name(DType type);
std::optional<DType> parse_dtype(const std::string& name);
/// Bytes of one element.
size_t dtype_bytes(DType type);
/// "float32", "bfloat16", "float16" or "float64", as config.json names a model's type.
const char* torch_dtype_name(DType type);
std::optional<DType> parse_torch_dtype(const std::string& name);

}  // namespace switchyard
