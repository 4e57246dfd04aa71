#include "tasks/metrics/classes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tasks/metrics/correlation.h"

namespace switchyard {
namespace {

using Ints = std::vector<int>;
using Numbers = std::vector<double>;

// The numbers of T5's own tests.
TEST(Classes, AsT5) {
  EXPECT_DOUBLE_EQ(accuracy(Ints{0, 0, 2, 1}, Ints{0, 1, 2, 1}), 0.75);
  EXPECT_DOUBLE_EQ(macro_f1(Ints{0, 1, 1, 2}, Ints{0, 0, 2, 2}, 3), 4.0 / 9);
  EXPECT_DOUBLE_EQ(matthews(Ints{0, 0, 2, 1}, Ints{0, 1, 2, 1}), 0.7);
  EXPECT_DOUBLE_EQ(binary_f1(Ints{0, 1, 1, 0}, Ints{0, 1, 2, 2}), 0.5);
}

TEST(Classes, EdgesAreZero) {
  EXPECT_EQ(binary_f1(Ints{0, 0}, Ints{0, 0}), 0);
  EXPECT_EQ(matthews(Ints{1, 1}, Ints{1, 1}), 0);
  EXPECT_EQ(macro_f1(Ints{0}, Ints{-1}, 2), 0);
}

TEST(Correlation, AsT5) {
  EXPECT_DOUBLE_EQ(pearson(Numbers{0, 2}, Numbers{0, 1}), 1);
  EXPECT_DOUBLE_EQ(spearman(Numbers{0, 2, 1}, Numbers{0, 1, 2}), 0.5);
}

TEST(Correlation, TiesAndConstants) {
  EXPECT_DOUBLE_EQ(spearman(Numbers{1, 1, 2, 2}, Numbers{5, 5, 9, 9}), 1);
  EXPECT_TRUE(std::isnan(pearson(Numbers{1, 1}, Numbers{0, 1})));
  EXPECT_TRUE(std::isnan(pearson(Numbers{0.1, 0.1, 0.1}, Numbers{0, 1, 3})));  // 0.3 / 3 is not 0.1
  EXPECT_TRUE(std::isnan(spearman(Numbers{0, 1}, Numbers{3, 3})));
}

}  // namespace
}  // namespace switchyard
