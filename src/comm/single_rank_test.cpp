#include "comm/single_rank.h"

#include <gtest/gtest.h>

#include <vector>

namespace switchyard {
namespace {

TEST(SingleRankTest, HasWhatItTellsItself) {
  SingleRank self("world");
  std::vector<float> data = {1, 2, 3};
  self.all_reduce(data.data(), 3, ElementType::kFloat32);
  self.broadcast(data.data(), 3, ElementType::kFloat32, 0);
  self.barrier();
  EXPECT_EQ(data, (std::vector<float>{1, 2, 3}));
  std::vector<float> out(3);
  self.all_gather(data.data(), out.data(), 3, ElementType::kFloat32);
  EXPECT_EQ(out, data);
  out.assign(3, 0);
  self.reduce_scatter(data.data(), out.data(), 3, ElementType::kFloat32);
  EXPECT_EQ(out, data);
  out.assign(3, 0);
  const std::vector<int64_t> rows = {3};
  self.all_to_all(data.data(), rows, out.data(), self.all_to_all_counts(rows), sizeof(float));
  EXPECT_EQ(out, data);
  EXPECT_EQ(self.maximum(7), 7);
  EXPECT_EQ(self.broadcast_text("word", 0), "word");
}

}  // namespace
}  // namespace switchyard
