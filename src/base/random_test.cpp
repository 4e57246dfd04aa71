#include "base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

namespace switchyard {
namespace {

// Known answers of the Random123 library (Salmon et al. 2011), philox4x32 with 10 rounds.
TEST(Philox, PublishedVectors) {
  EXPECT_EQ(philox(0, {0, 0, 0, 0}), (Philox4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~uint64_t{0}, {~0u, ~0u, ~0u, ~0u}),
            (Philox4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (Philox4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, EveryKeyMakesAnotherStream) {
  std::set<uint64_t> firsts;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    for (const uint32_t purpose : {kRandomInit, kRandomSpans}) {
      for (const uint64_t a : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32}) {
        for (const uint64_t b : {0, 1}) firsts.insert(RandomStream(seed, purpose, a, b).bits64(0));
      }
    }
  }
  EXPECT_EQ(firsts.size(), 4u * 2 * 3 * 2);
}

TEST(RandomStream, WordsComeFromDraws) {
  const RandomStream stream(5, kRandomTest, 1, 2);
  for (uint64_t i = 0; i < 40; ++i) EXPECT_EQ(stream.bits(i), stream.draw(i / 4)[i % 4]);
}

TEST(RandomStream, MomentsAreRight) {
  const RandomStream stream(1, kRandomTest);
  constexpr int kDraws = 200000;
  double sum = 0, squares = 0, truncated_squares = 0, uniform_sum = 0;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double normal = stream.normal(i);
    sum += normal;
    squares += normal * normal;
    const double truncated = stream.truncated_normal(i);
    EXPECT_LE(std::abs(truncated), 2.0);
    truncated_squares += truncated * truncated;
    const float uniform = stream.uniform(i);
    EXPECT_TRUE(uniform >= 0 && uniform < 1);
    uniform_sum += uniform;
  }
  // Tolerances of 5 standard errors.
  EXPECT_NEAR(sum / kDraws, 0, 0.0112);
  EXPECT_NEAR(squares / kDraws, 1, 0.016);
  EXPECT_NEAR(std::sqrt(truncated_squares / kDraws), 0.8796, 0.006);
  EXPECT_NEAR(uniform_sum / kDraws, 0.5, 0.0033);
}

TEST(RandomStream, BelowIsUniform) {
  const RandomStream stream(2, kRandomTest);
  std::vector<int> counts(7, 0);
  constexpr int kDraws = 70000;
  for (uint64_t i = 0; i < kDraws; ++i) ++counts[stream.below(i, 7)];
  double chi_squared = 0;
  for (const int count : counts) chi_squared += (count - 1e4) * (count - 1e4) / 1e4;
  EXPECT_LT(chi_squared, 22.5) << "6 degrees of freedom, p = 0.001";
  EXPECT_EQ(stream.below(0, 1), 0u);
}

TEST(PermuteIndex, IsAPermutationForEverySize) {
  for (uint64_t size = 1; size <= 300; ++size) {
    std::vector<uint64_t> places(size);
    for (uint64_t i = 0; i < size; ++i) places[i] = permute_index(i, size, 3, size % 5);
    std::sort(places.begin(), places.end());
    for (uint64_t i = 0; i < size; ++i) ASSERT_EQ(places[i], i) << "of " << size;
  }
  const uint64_t vast = (uint64_t{1} << 62) + 12345;
  EXPECT_LT(permute_index(vast - 1, vast, 1, 1), vast);
}

TEST(PermuteIndex, SeedAndEpochChangeTheOrder) {
  const auto order = [](uint64_t seed, uint64_t epoch) {
    std::vector<uint64_t> places(1000);
    for (uint64_t i = 0; i < places.size(); ++i) {
      places[i] = permute_index(i, places.size(), seed, epoch);
    }
    return places;
  };
  EXPECT_EQ(order(1, 0), order(1, 0));
  EXPECT_NE(order(1, 0), order(1, 1));
  EXPECT_NE(order(1, 0), order(2, 0));
}

// Neighbours must not stay neighbours: the step from one to the next is as wide as chance makes it.
TEST(PermuteIndex, OrderIsMixed) {
  constexpr uint64_t kSize = 10000;
  double steps = 0;
  for (uint64_t i = 0; i + 1 < kSize; ++i) {
    const auto here = static_cast<double>(permute_index(i, kSize, 9, 0));
    steps += std::abs(static_cast<double>(permute_index(i + 1, kSize, 9, 0)) - here);
  }
  EXPECT_NEAR(steps / kSize, kSize / 3.0, kSize / 50.0);
}

}  // namespace
}  // namespace switchyard
