#include "comm/sums.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "kernels/bf16.h"

namespace switchyard {
namespace {

constexpr int64_t kBlock = 1024;  // elements whose sums stay in the first cache

/// Values stored as `Stored`, summed as `Sum`.
template <class Stored, class Sum, class Widen, class Narrow>
void sum_as(const std::vector<const std::byte*>& parts, std::byte* out, int64_t count, Widen widen,
            Narrow narrow) {
  std::array<Sum, kBlock> sums;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = std::min(kBlock, count - begin);
    sums.fill(Sum{0});
    for (const std::byte* part : parts) {
      const auto* from = reinterpret_cast<const Stored*>(part) + begin;
      for (int64_t i = 0; i < size; ++i) sums[static_cast<size_t>(i)] += widen(from[i]);
    }
    auto* to = reinterpret_cast<Stored*>(out) + begin;
    for (int64_t i = 0; i < size; ++i) to[i] = narrow(sums[static_cast<size_t>(i)]);
  }
}

template <class T>
void sum_same(const std::vector<const std::byte*>& parts, std::byte* out, int64_t count) {
  const auto same = [](T value) { return value; };
  sum_as<T, T>(parts, out, count, same, same);
}

}  // namespace

void sum_parts(const std::vector<const std::byte*>& parts, std::byte* out, int64_t count,
               ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return sum_same<float>(parts, out, count);
    case ElementType::kFloat64:
      return sum_same<double>(parts, out, count);
    case ElementType::kInt64:
      return sum_same<int64_t>(parts, out, count);
    case ElementType::kBfloat16:
      return sum_as<kernels::Bf16, float>(
          parts, out, count, [](kernels::Bf16 value) { return kernels::to_float(value); },
          [](float value) { return kernels::to_bf16(value); });
    case ElementType::kByte:
      throw std::logic_error("bytes have no sum");
  }
}

}  // namespace switchyard
