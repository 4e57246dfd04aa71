// bfloat16 conversion, the vector functions, scratch memory, the choice of the instruction set.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/bf16.h"
#include "kernels/cpu_features.h"
#include "kernels/isa_math.h"
#include "kernels/scratch.h"

namespace switchyard::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Bf16, RoundsToNearestEven) {
  EXPECT_EQ(to_bf16(1.0f).bits, 0x3F80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3F808000u)).bits, 0x3F80);  // a tie, down to even
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3F818000u)).bits, 0x3F82);  // a tie, up to even
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3F808001u)).bits, 0x3F81);
  EXPECT_EQ(to_bf16(-std::bit_cast<float>(0x3F808001u)).bits, 0xBF81);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7F80);
  EXPECT_EQ(to_bf16(-kInfinity).bits, 0xFF80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(1u << 16)).bits, 1);  // denormals stay
}

TEST(Bf16, KeepsNan) {
  for (const uint32_t bits : {0x7FC00000u, 0x7F800001u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
    EXPECT_TRUE(std::isnan(to_float(to_bf16(std::bit_cast<float>(bits))))) << bits;
  }
}

TEST(Bf16, EveryValueSurvivesARoundTrip) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const Bf16 value = {static_cast<uint16_t>(bits)};
    if (std::isnan(to_float(value))) continue;
    EXPECT_EQ(to_bf16(to_float(value)).bits, bits);
  }
}

/// Largest error in units of the last place for x from first to last.
template <class Exp>
double worst_error(const Exp& exp, float first, float last) {
  double worst = 0;
  for (float x = first; x <= last; x += 1.5e-4f) {
    const double exact = std::exp(static_cast<double>(x));
    if (exact > std::numeric_limits<float>::max()) continue;
    const auto rounded = static_cast<float>(exact);
    const double ulp = std::nextafter(rounded, kInfinity) - static_cast<double>(rounded);
    worst = std::max(worst, std::abs(exp(x) - exact) / std::min(ulp, 2.1e31));
  }
  return worst;
}

TEST(VectorExp, IsWithinItsStatedError) {
  EXPECT_LE(worst_error([](float x) { return vector_exp(x); }, -86.4f, 88.72f), 1.5);
  EXPECT_LE(worst_error([](float x) { return vector_exp_below_one(x); }, -86.4f, 1.0f), 1.5);
}

TEST(VectorExp, HandlesTheEnds) {
  EXPECT_EQ(vector_exp(0.0f), 1.0f);
  EXPECT_EQ(vector_exp(-100.0f), 0.0f);
  EXPECT_EQ(vector_exp(-kInfinity), 0.0f);
  EXPECT_EQ(vector_exp(89.0f), kInfinity);
  EXPECT_EQ(vector_exp(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(vector_exp(std::nanf(""))));
  EXPECT_EQ(vector_exp_below_one(0.0f), 1.0f);
  EXPECT_EQ(vector_exp_below_one(-100.0f), 0.0f);
  EXPECT_EQ(vector_exp_below_one(-1e30f), 0.0f);
  EXPECT_EQ(vector_exp_below_one(-kInfinity), 0.0f);
  EXPECT_TRUE(std::isnan(vector_exp_below_one(std::nanf(""))));
}

TEST(Scratch, IsAlignedAndGrows) {
  void* small = scratch_bytes(1, 100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(small) % 64, 0u);
  EXPECT_EQ(scratch_bytes(1, 64), small);
  void* large = scratch_bytes(1, 1 << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large) % 64, 0u);
  std::memset(large, 1, 1 << 20);
  EXPECT_NE(scratch_bytes(2, 8), large);
}

TEST(CpuFeatures, BestIsOneOfTheAvailable) {
  const std::vector<Isa> isas = available_isas();
  EXPECT_EQ(isas.front(), Isa::kGeneric);
  EXPECT_NE(std::find(isas.begin(), isas.end(), best_isa()), isas.end());
  EXPECT_LE(best_isa(), detected_isa());
}

}  // namespace
}  // namespace switchyard::kernels
