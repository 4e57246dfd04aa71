#include "report/thinning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace switchyard {
namespace {

using testing::ElementsAre;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(ThinRows, ShortTablesStayWhole) {
  const std::vector<double> column = {3, 1, 2};
  EXPECT_THAT(thin_rows(3, {&column}, 3), ElementsAre(0, 1, 2));
  EXPECT_TRUE(thin_rows(0, {}, 10).empty());
}

TEST(ThinRows, KeepsEverySpikeAndBothEnds) {
  constexpr size_t kRows = 100'000;
  std::vector<double> smooth(kRows), spiky(kRows, 1.0);
  for (size_t i = 0; i < kRows; ++i) smooth[i] = std::sqrt(static_cast<double>(i));
  spiky[31'415] = 50;
  spiky[27'182] = -50;
  spiky[90'000] = kNaN;
  const std::vector<size_t> kept = thin_rows(kRows, {&smooth, &spiky}, 2000);
  EXPECT_LE(kept.size(), 2000u);
  EXPECT_GE(kept.size(), 500u);
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end()));
  EXPECT_TRUE(std::adjacent_find(kept.begin(), kept.end()) == kept.end());
  for (const size_t row : {size_t{0}, size_t{27'182}, size_t{31'415}, kRows - 1}) {
    EXPECT_TRUE(std::binary_search(kept.begin(), kept.end(), row)) << row;
  }
}

// No stretch of the log is left empty: each keeps rows of its own.
TEST(ThinRows, CoversTheWholeLength) {
  const std::vector<double> flat(10'000, 1.0);
  const std::vector<size_t> kept = thin_rows(flat.size(), {&flat}, 100);
  for (size_t i = 1; i < kept.size(); ++i) EXPECT_LE(kept[i] - kept[i - 1], 2 * 10'000u / 49);
}

TEST(ThinRows, ColumnsOfNothing) {
  const std::vector<double> none(1000, kNaN);
  EXPECT_THAT(thin_rows(1000, {&none}, 10), ElementsAre(0, 999));
}

}  // namespace
}  // namespace switchyard
