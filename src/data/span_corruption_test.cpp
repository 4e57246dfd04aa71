#include "data/span_corruption.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace switchyard {
namespace {

using testing::ElementsAre;

// F11: t5/data/preprocessors_test.py of google-research/text-to-text-transfer-transformer.
const std::vector<int32_t> kTokens = {3, 2, 20, 4, 3, 2, 8, 13, 2, 3, 2, 23, 7, 19, 22, 3, 2, 7, 2};

TEST(SpanCorruption, PublishedVector) {
  std::vector<uint8_t> mask(kTokens.size(), 0);
  for (const size_t hidden : {8, 14, 15, 16, 17, 18}) mask[hidden] = 1;
  std::vector<int32_t> inputs, targets;
  corrupt_spans(kTokens, mask, 25, inputs, targets);
  EXPECT_THAT(inputs, ElementsAre(3, 2, 20, 4, 3, 2, 8, 13, 25, 3, 2, 23, 7, 19, 24));
  EXPECT_THAT(targets, ElementsAre(25, 2, 24, 22, 3, 2, 7, 2));
}

TEST(SpanCorruption, PublishedVectorNothingHidden) {
  std::vector<int32_t> inputs, targets;
  corrupt_spans(kTokens, std::vector<uint8_t>(kTokens.size(), 0), 25, inputs, targets);
  EXPECT_EQ(inputs, kTokens);
  EXPECT_THAT(targets, ElementsAre(25));
}

TEST(SpanCorruption, PublishedLengths) {
  EXPECT_EQ(span_lengths(512, 0.15, 3), (SpanLengths{568, 512, 114, 28}));
  EXPECT_EQ(span_lengths(256, 0.15, 3), (SpanLengths{284, 256, 58, 14}));
  EXPECT_EQ(span_lengths(128, 0.15, 3), (SpanLengths{141, 128, 29, 7}));
  EXPECT_EQ(span_lengths(64, 0.15, 3), (SpanLengths{70, 64, 14, 3}));
}

TEST(SpanCorruption, LengthsFitAndAreTheLongest) {
  for (int64_t input = 4; input < 1500; ++input) {
    const SpanLengths lengths = span_lengths(input, 0.15, 3);
    EXPECT_LE(lengths.inputs, input);
    EXPECT_GE(lengths.inputs, input - 2);
    EXPECT_EQ(lengths.inputs + lengths.targets, lengths.raw + 2 * lengths.spans + 2);
  }
}

TEST(SpanCorruption, TooManySpansAreRefused) {
  EXPECT_THROW(span_lengths(4096, 0.15, 3), Error);
  EXPECT_NO_THROW(span_lengths(4096, 0.15, 10));
  EXPECT_THROW(span_lengths(3, 0.15, 3), Error);
}

// Puts the hidden spans of `targets` back into `inputs`.
std::vector<int32_t> rebuild(const std::vector<int32_t>& inputs,
                             const std::vector<int32_t>& targets, int32_t first_sentinel,
                             int32_t last_sentinel) {
  const auto is_sentinel = [&](int32_t id) { return id <= first_sentinel && id >= last_sentinel; };
  std::map<int32_t, std::vector<int32_t>> spans;
  int32_t current = 0;
  for (const int32_t id : targets) {
    if (is_sentinel(id)) {
      current = id;
    } else {
      spans[current].push_back(id);
    }
  }
  std::vector<int32_t> tokens;
  for (const int32_t id : inputs) {
    if (is_sentinel(id)) {
      tokens.insert(tokens.end(), spans[id].begin(), spans[id].end());
    } else {
      tokens.push_back(id);
    }
  }
  return tokens;
}

TEST(SpanCorruption, MaskHasTheRightCountsAndTextCanBeRebuilt) {
  for (const int64_t input : {16, 64, 100, 128, 512}) {
    const SpanLengths lengths = span_lengths(input, 0.15, 3);
    for (uint64_t number = 0; number < 200; ++number) {
      const auto mask =
          random_spans_mask(lengths.raw, 0.15, 3, RandomStream(7, kRandomSpans, number));
      ASSERT_EQ(mask.size(), static_cast<size_t>(lengths.raw));
      EXPECT_EQ(mask.front(), 0) << "starts with shown tokens";
      EXPECT_EQ(mask.back(), 1) << "ends with hidden tokens";
      int64_t hidden = 0, spans = 0;
      for (size_t i = 0; i < mask.size(); ++i) {
        hidden += mask[i];
        spans += mask[i] && !mask[i - 1];
      }
      EXPECT_EQ(spans, lengths.spans);
      EXPECT_EQ(hidden, lengths.targets - lengths.spans - 1);

      std::vector<int32_t> tokens(static_cast<size_t>(lengths.raw));
      std::iota(tokens.begin(), tokens.end(), 1000);
      std::vector<int32_t> inputs, targets;
      corrupt_spans(tokens, mask, 99, inputs, targets);
      EXPECT_EQ(inputs.size() + 1, static_cast<size_t>(lengths.inputs));
      EXPECT_EQ(targets.size() + 1, static_cast<size_t>(lengths.targets));
      EXPECT_EQ(rebuild(inputs, targets, 99, 0), tokens);
    }
  }
}

TEST(SpanCorruption, DensityRoundsHalfToEven) {
  // 10 * 0.25 = 2.5 -> 2 hidden; 14 * 0.25 = 3.5 -> 4 hidden.
  const auto hidden = [](int64_t length) {
    const auto mask = random_spans_mask(length, 0.25, 1, RandomStream(1, kRandomSpans));
    return std::accumulate(mask.begin(), mask.end(), 0);
  };
  EXPECT_EQ(hidden(10), 2);
  EXPECT_EQ(hidden(14), 4);
}

// All C(6, 2) = 15 ways of cutting 7 shown tokens into 3 segments come up equally often; the
// threshold is the chi-squared quantile for p = 0.001.
TEST(SpanCorruption, SegmentLengthsAreUniform) {
  std::map<std::vector<int>, int> counts;
  constexpr int kDraws = 30000;
  for (uint64_t number = 0; number < kDraws; ++number) {
    // 10 tokens, density 0.3: 3 hidden in 3 spans of 1, 7 shown in 3 segments.
    const auto mask = random_spans_mask(10, 0.3, 1, RandomStream(3, kRandomSpans, number));
    std::vector<int> shown(1, 0);
    for (const uint8_t hidden : mask) {
      if (hidden) {
        shown.push_back(0);
      } else {
        ++shown.back();
      }
    }
    shown.pop_back();
    ++counts[shown];
  }
  ASSERT_EQ(counts.size(), 15u);
  const double expected = kDraws / 15.0;
  double chi_squared = 0;
  for (const auto& [segments, count] : counts) {
    chi_squared += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(chi_squared, 36.1) << "14 degrees of freedom";
}

}  // namespace
}  // namespace switchyard
