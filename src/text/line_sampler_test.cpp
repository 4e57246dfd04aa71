#include "text/line_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/format.h"

namespace switchyard {
namespace {

using ::testing::ElementsAre;

TEST(LineSampler, KeepsAllThatFitsInOrder) {
  LineSampler sampler(1000, 0, 1);
  sampler.add("one\n\n  \ntwo\nthree");
  sampler.add("four\n\x01\x7F\n");
  EXPECT_EQ(sampler.lines_seen(), 4u);
  EXPECT_EQ(sampler.bytes_seen(), 15u);
  EXPECT_THAT(sampler.take(), ElementsAre("one", "two", "three", "four"));
  EXPECT_TRUE(sampler.take().empty());
}

TEST(LineSampler, LongLinesAreCutAtWhiteSpace) {
  LineSampler sampler(1 << 20, 0, 1);
  std::string line;
  while (line.size() < 10000) line += "word\u00e9 ";
  sampler.add(line);
  std::string joined;
  for (const std::string& part : sampler.take()) {
    EXPECT_LE(part.size(), LineSampler::kMaxLineBytes);
    EXPECT_TRUE(part.ends_with(' '));
    joined += part;
  }
  EXPECT_EQ(joined, line);
}

TEST(LineSampler, MemoryIsBounded) {
  LineSampler sampler(5000, 0, 1);
  for (int i = 0; i < 20000; ++i) {
    sampler.add(format("line number {}\n", i));
    ASSERT_LE(sampler.bytes_kept(), 5000u);
  }
  const auto lines = sampler.take();
  EXPECT_GT(lines.size(), 200u);
  EXPECT_EQ(lines, [] {
    LineSampler again(5000, 0, 1);
    for (int i = 0; i < 20000; ++i) again.add(format("line number {}\n", i));
    return again.take();
  }()) << "the same seed, the same sample";
}

// Each of 10 lines is among the 3 kept 3 times in 10.
TEST(LineSampler, EveryLineIsAsLikely) {
  std::map<std::string, int> counts;
  constexpr int kTries = 4000;
  for (uint64_t seed = 0; seed < kTries; ++seed) {
    LineSampler sampler(1 << 20, 3, seed);
    for (int i = 0; i < 10; ++i) sampler.add(std::to_string(i));
    const auto lines = sampler.take();
    ASSERT_EQ(lines.size(), 3u);
    for (const std::string& line : lines) ++counts[line];
  }
  // 5 standard deviations of a binomial count.
  for (const auto& [line, count] : counts) EXPECT_NEAR(count, kTries * 0.3, 145) << line;
  EXPECT_EQ(counts.size(), 10u);
}

}  // namespace
}  // namespace switchyard
