#include "checkpoint/dtype.h"

#include <array>

namespace switchyard {
namespace {

struct Entry {
  DType type;
  const char* name;
  size_t bytes;
  const char* torch_name;  // "" where no model's weights are of this type
};

constexpr std::array<Entry, 15> kEntries = {{{DType::kBool, "BOOL", 1, ""},
                                             {DType::kU8, "U8", 1, ""},
                                             {DType::kI8, "I8", 1, ""},
                                             {DType::kF8E5M2, "F8_E5M2", 1, ""},
                                             {DType::kF8E4M3, "F8_E4M3", 1, ""},
                                             {DType::kI16, "I16", 2, ""},
                                             {DType::kU16, "U16", 2, ""},
                                             {DType::kF16, "F16", 2, "float16"},
                                             {DType::kBF16, "BF16", 2, "bfloat16"},
                                             {DType::kI32, "I32", 4, ""},
                                             {DType::kU32, "U32", 4, ""},
                                             {DType::kF32, "F32", 4, "float32"},
                                             {DType::kI64, "I64", 8, ""},
                                             {DType::kU64, "U64", 8, ""},
                                             {DType::kF64, "F64", 8, "float64"}}};

const Entry& entry_of(DType type) { return kEntries[static_cast<size_t>(type)]; }

}  // namespace

const char* dtype_name(DType type) { return entry_of(type).name; }

size_t dtype_bytes(DType type) { return entry_of(type).bytes; }

const char* torch_dtype_name(DType type) { return entry_of(type).torch_name; }

std::optional<DType> parse_dtype(const std::string& name) {
  for (const Entry& entry : kEntries) {
    if (name == entry.name) return entry.type;
  }
  return std::nullopt;
}

std::optional<DType> parse_torch_dtype(const std::string& name) {
  for (const Entry& entry : kEntries) {
    if (!name.empty() && name == entry.torch_name) return entry.type;
  }
  return std::nullopt;
}

}  // namespace switchyard
