#include "base/tensor_slice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace switchyard {
namespace {

// Indices in the whole of the slice's elements, in its order.
std::vector<int64_t> indices(const TensorSlice& slice) {
  std::vector<int64_t> found;
  slice.for_each_run([&](const TensorSlice::Run& run) {
    EXPECT_EQ(run.own, static_cast<int64_t>(found.size()));
    for (int64_t i = 0; i < run.count; ++i) found.push_back(run.whole + i);
  });
  EXPECT_EQ(static_cast<int64_t>(found.size()), slice.numel());
  return found;
}

TEST(TensorSlice, OfAWholeTensorIsOneRun) {
  const TensorSlice slice({2, 3, 4});
  int64_t runs = 0;
  slice.for_each_run([&](const TensorSlice::Run& run) {
    ++runs;
    EXPECT_EQ(run.count, 24);
  });
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(slice.is_whole());
  EXPECT_EQ(TensorSlice({}).numel(), 1);
}

TEST(TensorSlice, CutsAnyAxis) {
  EXPECT_EQ(indices(TensorSlice({4, 2}).cut(0, 1, 2)), (std::vector<int64_t>{4, 5, 6, 7}));
  EXPECT_EQ(indices(TensorSlice({2, 4}).cut(1, 1, 2)), (std::vector<int64_t>{2, 3, 6, 7}));
  EXPECT_EQ(indices(TensorSlice({4, 2, 2}).cut(0, 3, 4).cut(2, 1, 2)),
            (std::vector<int64_t>{13, 15}));
}

// A gate's and a value's half of one matrix: part 1 of 2 has rows 1 and 3 of four.
TEST(TensorSlice, CutsEachBlockOfAnAxis) {
  const TensorSlice slice = TensorSlice({4, 2}).cut(0, 1, 2, 2);
  EXPECT_EQ(indices(slice), (std::vector<int64_t>{2, 3, 6, 7}));
  EXPECT_EQ(slice.shape(), (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(slice.half(0).whole_shape(), (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(indices(slice.half(0)), (std::vector<int64_t>{2, 3}));
}

TEST(TensorSlice, PartsTogetherAreTheWhole) {
  std::vector<int> seen(6 * 8 * 10, 0);
  for (int64_t expert = 0; expert < 3; ++expert) {
    for (int64_t model = 0; model < 2; ++model) {
      const TensorSlice slice = TensorSlice({6, 8, 10}).cut(0, expert, 3).cut(1, model, 2, 2);
      for (const int64_t index : indices(slice)) ++seen[static_cast<size_t>(index)];
    }
  }
  EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), 0), 480);
  EXPECT_EQ(*std::max_element(seen.begin(), seen.end()), 1);
}

TEST(TensorSlice, WithoutAnAxisKeepsTheOtherCuts) {
  const TensorSlice slice = TensorSlice({6, 8, 10}).cut(0, 2, 3).cut(1, 1, 2);
  EXPECT_EQ(slice.without(1).shape(), (std::vector<int64_t>{2, 10}));
  EXPECT_EQ(slice.without(2).shape(), (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(slice.begin(0), 4);
  EXPECT_EQ(indices(slice.with_part(0, 0).without(2)).front(), 4);
}

TEST(TensorSlice, RefusesUnequalParts) {
  EXPECT_THROW(TensorSlice({6}).cut(0, 0, 4), Error);
  EXPECT_THROW(TensorSlice({6}).cut(0, 0, 2, 2), Error);
}

}  // namespace
}  // namespace switchyard
