#include "tasks/metrics/rouge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard {
namespace {

using ::testing::ElementsAre;

TEST(Rouge, Words) {
  EXPECT_THAT(rouge_words("The U.S. won't 3.5 École \u212A"),
              ElementsAre("the", "u", "s", "won", "t", "3", "5", "cole", "k"));
  EXPECT_THAT(rouge_words("你好 привет"), ElementsAre());
}

TEST(Rouge, CountsOverlaps) {
  const Rouge score = rouge("the cat sat on the mat", "the the cat");
  EXPECT_DOUBLE_EQ(score.rouge1, 2 * (3.0 / 3) * (3.0 / 6) / (3.0 / 3 + 3.0 / 6));
  EXPECT_DOUBLE_EQ(score.rouge2, 2 * (1.0 / 2) * (1.0 / 5) / (1.0 / 2 + 1.0 / 5));
  EXPECT_DOUBLE_EQ(score.rouge_l, 2 * (2.0 / 3) * (2.0 / 6) / (2.0 / 3 + 2.0 / 6));
}

TEST(Rouge, LsumTakesTheUnionOverLines) {
  // The example of the ROUGE paper: w1 w2 w3 w4 w5 against two lines, union w1 w2 w3 w5.
  const Rouge score = rouge("w1 w2 w3 w4 w5", "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5");
  EXPECT_DOUBLE_EQ(score.rouge_lsum, 2 * (4.0 / 10) * (4.0 / 5) / (4.0 / 10 + 4.0 / 5));
}

TEST(Rouge, BestReferenceOfEachMeasure) {
  const Rouge score = best_rouge({"a b c d", "c a"}, "a c");
  EXPECT_DOUBLE_EQ(score.rouge1, 1);         // the second
  EXPECT_DOUBLE_EQ(score.rouge_l, 2.0 / 3);  // the first
}

TEST(Rouge, EmptyIsZero) {
  EXPECT_EQ(rouge("a", "").rouge1, 0);
  EXPECT_EQ(rouge("", "").rouge_lsum, 0);
}

}  // namespace
}  // namespace switchyard
