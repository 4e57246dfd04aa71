#include "comm/sums.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/bf16.h"

namespace switchyard {
namespace {

using kernels::Bf16;

template <class T>
std::vector<T> sum_of(const std::vector<std::vector<T>>& parts, ElementType type) {
  std::vector<const std::byte*> pointers;
  for (const auto& part : parts) {
    pointers.push_back(reinterpret_cast<const std::byte*>(part.data()));
  }
  std::vector<T> out(parts.front().size());
  sum_parts(pointers, reinterpret_cast<std::byte*>(out.data()), static_cast<int64_t>(out.size()),
            type);
  return out;
}

TEST(SumsTest, AddsElementByElementWhateverTheLength) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{1023}, size_t{1024}, size_t{2500}}) {
    std::vector<float> a(count), b(count);
    std::iota(a.begin(), a.end(), 1.0F);
    std::iota(b.begin(), b.end(), 0.5F);
    const std::vector<float> sum = sum_of<float>({a, b}, ElementType::kFloat32);
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(sum[i], a[i] + b[i]) << i;
  }
  EXPECT_EQ(sum_of<int64_t>({{1, 2}, {10, 20}, {100, 200}}, ElementType::kInt64),
            (std::vector<int64_t>{111, 222}));
}

// 1 + 2^-8 rounds to 1 in bfloat16: only a sum in float32 sees that there are two of them.
TEST(SumsTest, Bfloat16IsSummedInFloat32AndRoundedOnce) {
  const Bf16 one = kernels::to_bf16(1.0F), small = kernels::to_bf16(0x1p-8F);
  const auto sum = sum_of<Bf16>({{one}, {small}, {small}}, ElementType::kBfloat16);
  EXPECT_EQ(kernels::to_float(sum[0]), 1.0F + 0x1p-7F);
}

TEST(SumsTest, ASumMayTakeThePlaceOfOneOfItsParts) {
  std::vector<float> a = {1, 2}, b = {10, 20};
  const std::vector<const std::byte*> parts = {reinterpret_cast<const std::byte*>(a.data()),
                                               reinterpret_cast<const std::byte*>(b.data())};
  sum_parts(parts, reinterpret_cast<std::byte*>(b.data()), 2, ElementType::kFloat32);
  EXPECT_EQ(b, (std::vector<float>{11, 22}));
}

}  // namespace
}  // namespace switchyard
