#include "data/mixture.h"

#include <gtest/gtest.h>

#include <cmath>

namespace switchyard {
namespace {

TEST(Mixture, OneSourceTakesAll) {
  const MixtureSchedule schedule({0.7}, 1);
  for (const uint64_t i : {uint64_t{0}, uint64_t{5}, uint64_t{1} << 40}) {
    EXPECT_EQ(schedule.at(i).source, 0u);
    EXPECT_EQ(schedule.at(i).index, i);
  }
}

TEST(Mixture, IndexCountsTheSequencesBefore) {
  const MixtureSchedule schedule({1, 2, 0.5, 3.25}, 42);
  std::vector<uint64_t> counts(4, 0);
  for (uint64_t i = 0; i < 20000; ++i) {
    const auto place = schedule.at(i);
    EXPECT_EQ(place.index, counts[place.source]) << "sequence " << i;
    ++counts[place.source];
  }
}

TEST(Mixture, SharesHoldAtEveryMoment) {
  const std::vector<double> weights = {3, 1, 1, 5, 0.01};
  const double total = 10.01;
  const MixtureSchedule schedule(weights, 9);
  std::vector<double> counts(weights.size(), 0);
  for (uint64_t i = 0; i < 50000; ++i) {
    counts[schedule.at(i).source] += 1;
    for (size_t k = 0; k < weights.size(); ++k) {
      EXPECT_LT(std::abs(counts[k] - static_cast<double>(i + 1) * weights[k] / total), 4.0);
    }
  }
}

TEST(Mixture, SeedMovesThePattern) {
  int differing = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    differing +=
        MixtureSchedule({1, 1, 1}, 1).at(i).source != MixtureSchedule({1, 1, 1}, 2).at(i).source;
  }
  EXPECT_GT(differing, 0);
}

TEST(Mixture, ExtremeWeights) {
  const MixtureSchedule schedule({1e300, 1e-300}, 3);
  EXPECT_EQ(schedule.at(12345).source, 0u);
}

}  // namespace
}  // namespace switchyard
