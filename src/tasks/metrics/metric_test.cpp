#include "tasks/metrics/metric.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tests/error_of.h"

namespace switchyard {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using Texts = std::vector<std::string>;
using Targets = std::vector<MetricTarget>;

Scores score(const std::string& metric, const Targets& targets, const Texts& predictions,
             const Texts& labels = {}) {
  return compute_metric(find_metric(metric), {targets, predictions, labels});
}

Targets plain(const Texts& texts) {
  Targets targets;
  for (const std::string& text : texts) targets.push_back({{text}, "", ""});
  return targets;
}

void expect_scores(const Scores& scores, const Scores& expected) {
  ASSERT_EQ(scores.size(), expected.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    EXPECT_EQ(scores[i].first, expected[i].first);
    EXPECT_NEAR(scores[i].second, expected[i].second, 1e-9) << scores[i].first;
  }
}

// The numbers of T5's own tests of its metrics.
TEST(Metrics, AnswersAsT5) {
  const Targets targets = {{{"big moose", "hippo"}, "", ""},
                           {{"correct1"}, "", ""},
                           {{"correct2.1", "correct2.2"}, "", ""},
                           {{"a", "b"}, "", ""}};
  expect_scores(score("squad", targets, {"a big  Moose!", "wrong", "correct2.2", "c"}),
                {{"em", 50}, {"f1", 50}});
  expect_scores(score("squad", {{{"abc abd", "$$$$"}, "", ""}}, {"abd"}),
                {{"em", 0}, {"f1", 100 * 2.0 / 3}});
  const std::string context = "this is a string! it has the answer.";
  expect_scores(score("span_squad", {{{"", "a string"}, "", context}}, {"start:2 end:3"}),
                {{"em", 100}, {"f1", 100}});
}

TEST(Metrics, EqualAndEmptyTextsAsT5) {
  const std::string text = "this is a string";
  const Scores all = {{"rouge1", 100}, {"rouge2", 100}, {"rougeL", 100}, {"rougeLsum", 100}};
  const Scores none = {{"rouge1", 0}, {"rouge2", 0}, {"rougeL", 0}, {"rougeLsum", 0}};
  expect_scores(score("bleu", plain({text, text}), {text, text}), {{"bleu", 100}});
  expect_scores(score("bleu", plain({text, text}), {"", ""}), {{"bleu", 0}});
  expect_scores(score("bleu", {{{"", text}, "", ""}, {{text, ""}, "", ""}}, {text, text}),
                {{"bleu", 100}});
  expect_scores(score("rouge", plain({text, text}), {text, text}), all);
  expect_scores(score("rouge", plain({text, text}), {"", ""}), none);
}

TEST(Metrics, ClassesAsT5) {
  const Texts labels = {"no", "yes"};
  expect_scores(score("f1", plain({"no", "yes", "yes", "no"}), {"no", "yes", "?", "maybe"}, labels),
                {{"f1", 50}});
  expect_scores(score("mean_multiclass_f1", plain({"a", "b", "b", "c"}), {"a", "a", "c", "c"},
                      {"a", "b", "c"}),
                {{"mean_3class_f1", 100 * 4.0 / 9}});
  expect_scores(
      score("matthews", plain({"a", "a", "c", "b"}), {"a", "b", "c", "b"}, {"a", "b", "c"}),
      {{"matthews_corrcoef", 70}});
  expect_scores(score("accuracy", plain({"a", "b"}), {"a", "B"}), {{"accuracy", 50}});
}

TEST(Metrics, CorrelationsAsT5) {
  expect_scores(score("pearson", plain({"0", "2"}), {"0", "1"}), {{"pearson_corrcoef", 100}});
  expect_scores(score("spearman", plain({"0", "2", "1"}), {"0", "1", "2"}),
                {{"spearman_corrcoef", 50}});
  EXPECT_TRUE(std::isnan(score("pearson", plain({"1", "2"}), {"x", "y"})[0].second));
}

TEST(Metrics, Groups) {
  // T5's example: in group a one of two is right, in b none.
  const Targets targets = {{{"0"}, "a", ""}, {{"1"}, "a", ""}, {{"0"}, "b", ""}};
  const Texts predictions = {"0", "0", "1"};
  const MetricInput input = {targets, predictions, {}};
  expect_scores(mean_over_groups(find_metric("accuracy"), input), {{"accuracy", 25}});
  const auto by_group = scores_by_group(find_metric("accuracy"), input);
  ASSERT_EQ(by_group.size(), 2u);
  expect_scores(by_group.at("a"), {{"accuracy", 50}});
  expect_scores(by_group.at("b"), {{"accuracy", 0}});
  expect_scores(score("all_by_group", targets, predictions), {{"exact_match", 0}});
  expect_scores(score("all_by_group", targets, {"0", "1", "1"}), {{"exact_match", 50}});
}

TEST(Metrics, Referents) {
  const Targets targets = {{{"the bunny"}, "", "True"},
                           {{"Tom"}, "", "False"},
                           {{"Tom"}, "", "True"},
                           {{"Tom"}, "", "False"}};
  expect_scores(score("referent", targets, {"Bunny", "Bob", "Bob", "the"}), {{"accuracy", 50}});
}

TEST(Metrics, Numbers) {
  expect_scores(
      score("number", plain({"#### 1,200", "#### 7", "none"}), {"so 1200.0", "8", "none"}),
      {{"accuracy", 100.0 / 3}});
}

TEST(Metrics, RougeMakesLinesOfTokenizedSentences) {
  // As one line the common words are c d; as two lines, those of both.
  const Scores scores = score("rouge", plain({"a b . c d . "}), {"c d . a b . "});
  EXPECT_NEAR(scores[2].second, 50, 1e-9);
  EXPECT_NEAR(scores[3].second, 100, 1e-9);
}

TEST(Metrics, WhatCannotBeMeasuredIsSaid) {
  EXPECT_THAT(error_of([] { score("acuracy", plain({"a"}), {"a"}); }).hint_part(),
              HasSubstr("'accuracy'"));
  EXPECT_THAT(error_of([] { score("accuracy", plain({"a"}), {}); }).what_part(),
              HasSubstr("1 targets, but 0 predictions"));
  EXPECT_THAT(error_of([] { score("rouge", {}, {}); }).what_part(), HasSubstr("nothing"));
  for (const char* metric : {"span_squad", "referent"}) {
    EXPECT_THAT(error_of([&] { score(metric, plain({"a"}), {"a"}); }).what(),
                HasSubstr("needs a context; example 1"));
  }
  EXPECT_THAT(error_of([] {
                score("squad", {{{}, "", ""}}, {"a"});
              }).where_part(),
              HasSubstr("example 1"));
  for (const char* metric : {"f1", "matthews", "mean_multiclass_f1"}) {
    EXPECT_THAT(error_of([&] { score(metric, plain({"a"}), {"a"}); }).hint_part(),
                HasSubstr("[labels]"));
  }
}

TEST(Metrics, NamesAreSortedAndUnique) {
  Texts names;
  for (const Metric& metric : metrics()) names.push_back(metric.name);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
}

}  // namespace
}  // namespace switchyard
