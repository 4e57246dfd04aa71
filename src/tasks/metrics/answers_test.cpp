#include "tasks/metrics/answers.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

using Texts = std::vector<std::string>;

TEST(Answers, NormalizesAsSquad) {
  EXPECT_EQ(normalize_squad("  The  (big) Moose!\t"), "big moose");
  EXPECT_EQ(normalize_squad("a an the another thesis"), "another thesis");
  EXPECT_EQ(normalize_squad("state-of-the-art"), "stateoftheart");
  EXPECT_EQ(normalize_squad("$$$$"), "");
  // Only ASCII punctuation goes; letters of all scripts bound words, marks do not.
  EXPECT_EQ(normalize_squad("«A» Éa aé ЖA"), "« » éa aé жa");
  EXPECT_EQ(normalize_squad("ΣΊΣΥΦΟΣ\u00A0İ"), "σίσυφος i\u0307");
}

TEST(Answers, NormalizesAsTriviaQa) {
  EXPECT_EQ(normalize_trivia_qa("state-of-the-art"), "state of art");
  EXPECT_EQ(normalize_trivia_qa("rock‘n’roll_the´x"), "rock n roll x");
  EXPECT_EQ(normalize_trivia_qa("The-End"), "end");
}

TEST(Answers, BestOverReferences) {
  EXPECT_EQ(exact_match(Texts{"a b", "c"}, "c"), 1);
  EXPECT_EQ(exact_match(Texts{"a b"}, "a"), 0);
  EXPECT_DOUBLE_EQ(word_f1(Texts{"abc abd", "x"}, "abd"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(word_f1(Texts{"a a b"}, "a a a"), 2.0 / 3);
  EXPECT_EQ(word_f1(Texts{""}, ""), 0);  // as T5
}

TEST(Answers, SpansOfWords) {
  const std::string context = "this is a string! it has the answer.";
  EXPECT_EQ(span_of_words(context, "start:2 end:3"), "a string");
  EXPECT_EQ(span_of_words(context, "start: 7 end: 99"), "answer");
  EXPECT_EQ(span_of_words(context, "start: 3 end: 2"), "");
  EXPECT_EQ(span_of_words(context, "start: one end: 2"), "");
  EXPECT_EQ(span_of_words(context, "start: 1"), "");
}

TEST(Answers, Referents) {
  EXPECT_EQ(names_referent("the fuzzy bunny", "Bunny"), true);
  EXPECT_EQ(names_referent("bunny", "that fuzzy bunny"), true);
  EXPECT_EQ(names_referent("Bob's hat", "Bob"), false);
  EXPECT_EQ(names_referent("Bob's hat", "hat"), false);
  EXPECT_EQ(names_referent("Bob", "Tom"), false);
  EXPECT_EQ(names_referent("Bob", "the "), std::nullopt);
}

}  // namespace
}  // namespace switchyard
