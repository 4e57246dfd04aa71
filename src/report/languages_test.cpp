#include "report/languages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "report/test_runs.h"

namespace switchyard {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

using Curves = std::vector<std::pair<std::string, std::vector<double>>>;

/// A run evaluated every 100 steps on each of the languages.
RunData run_with(const std::string& name, int64_t experts, int64_t seed, const Curves& curves) {
  RunData run = made_up_run(name, experts, seed, curves.front().second);
  for (const auto& [language, nlp] : curves) {
    run.sources.push_back({language, made_up_run("", 0, 0, nlp).evaluations});
  }
  return run;
}

std::vector<LanguageComparison> compare_all(const std::vector<RunData>& runs) {
  return compare_languages(runs, compare(runs));
}

const Curves kDense = {{"de", {-4, -3, -2}}, {"sw", {-5, -4, -3}}, {"th", {-6, -5, -4}}};
const Curves kSparse = {{"de", {-3, -2, -1}}, {"sw", {-5, -4, -3.5}}, {"th", {-5, -3, -1}}};

TEST(Languages, GainsAndSpeedUpsOfEach) {
  const auto all = compare_all({run_with("dense", 0, 1, kDense), run_with("moe", 8, 1, kSparse)});
  ASSERT_EQ(all.size(), 1u);
  const LanguageComparison& moe = all.front();
  EXPECT_EQ(moe.group, "moe");
  EXPECT_EQ(moe.baseline, "dense");
  ASSERT_EQ(moe.languages.size(), 3u);
  EXPECT_EQ(moe.languages[0].name, "th");
  EXPECT_DOUBLE_EQ(moe.languages[0].gain, 3);
  EXPECT_DOUBLE_EQ(moe.languages[0].speed_up, 300.0 / 150);
  EXPECT_EQ(moe.languages[1].name, "de");
  EXPECT_DOUBLE_EQ(moe.languages[1].speed_up, 300.0 / 200);
  EXPECT_EQ(moe.languages[2].name, "sw");
  EXPECT_DOUBLE_EQ(moe.languages[2].gain, -0.5);
  EXPECT_TRUE(std::isnan(moe.languages[2].speed_up));
  EXPECT_EQ(moe.gained, 2);
  EXPECT_EQ(moe.reached, 2);
  EXPECT_DOUBLE_EQ(moe.mean_speed_up, 1.75);
}

TEST(Languages, SeedsAreAveraged) {
  const auto all = compare_all({run_with("dense-s1", 0, 1, {{"de", {-4, -3}}}),
                                run_with("dense-s2", 0, 2, {{"de", {-4, -2}}}),
                                run_with("moe-s1", 8, 1, {{"de", {-3, -2}}}),
                                run_with("moe-s2", 8, 2, {{"de", {-4, -3}}})});
  ASSERT_EQ(all.size(), 1u);
  const LanguageNumbers& de = all.front().languages.front();
  EXPECT_DOUBLE_EQ(de.baseline_nlp, -2.5);
  EXPECT_DOUBLE_EQ(de.nlp, -2.5);
  EXPECT_EQ(de.seeds, 2);
  EXPECT_EQ(de.reached, 1);
  EXPECT_DOUBLE_EQ(de.speed_up, 200.0 / 150);
  EXPECT_EQ(all.front().reached, 0) << "one seed does not reach it";
  EXPECT_EQ(all.front().reached_by_some, 1);
  EXPECT_THAT(languages_html(all), HasSubstr("0 reach its best NLP with every seed, 1 with some"));
}

TEST(Languages, OnlyThoseOfAllRuns) {
  EXPECT_THAT(compare_all({made_up_run("dense", 0, 1, {-2}), made_up_run("moe", 8, 1, {-1})}),
              IsEmpty());
  const auto all =
      compare_all({run_with("dense", 0, 1, {{"de", {-2}}, {"fr", {-2}}, {"it", {kNaN}}}),
                   run_with("moe", 8, 1, {{"de", {-1}}, {"it", {-1}}, {"sw", {-1}}})});
  ASSERT_EQ(all.size(), 1u);
  ASSERT_EQ(all.front().languages.size(), 1u);
  EXPECT_EQ(all.front().languages.front().name, "de");
  EXPECT_TRUE(all.front().languages.front().at_first);
}

TEST(Languages, JsonAndPageHaveTheNumbers) {
  const auto all =
      compare_all({run_with("dense", 0, 1, kDense), run_with("moe<b>", 8, 1, kSparse)});
  const auto json = nlohmann::json::parse(languages_json(all).dump());
  EXPECT_EQ(json[0]["gained"], 2);
  EXPECT_EQ(json[0]["languages"][0]["speed_up_steps"], 2.0);
  EXPECT_EQ(json[0]["languages"][2]["speed_up_steps"], nullptr);
  const std::string html = languages_html(all);
  EXPECT_THAT(html, AllOf(HasSubstr("2 of 3 languages gain over dense"), HasSubstr("1.75 times"),
                          HasSubstr("class=\"bar loss\""), HasSubstr("<title>th: +3.0000</title>"),
                          HasSubstr("not reached"), Not(HasSubstr("moe<b>"))));
  EXPECT_EQ(languages_html({}), "");
}

TEST(Languages, PlotsOfEqualGainsAreDrawn) {
  const Curves same = {{"de", {-2, -2}}, {"fr", {-2, -2}}};
  const std::string html =
      languages_html(compare_all({run_with("dense", 0, 1, same), run_with("moe", 8, 1, same)}));
  EXPECT_THAT(html, AllOf(HasSubstr("0 of 2 languages gain"), Not(HasSubstr("nan")),
                          Not(HasSubstr("inf"))));
}

TEST(HistogramOf, CountsInRoundBins) {
  const Histogram histogram = histogram_of({1.02, 1.07, 1.11, 1.3, kNaN}, 4);
  EXPECT_DOUBLE_EQ(histogram.width, 0.1);
  EXPECT_DOUBLE_EQ(histogram.low, 1.0);
  EXPECT_THAT(histogram.counts, ElementsAre(2, 1, 0, 1));
  EXPECT_THAT(histogram_of({kNaN}, 4).counts, IsEmpty());
  EXPECT_THAT(histogram_of({2, 2}, 4).counts, ElementsAre(2));
}

}  // namespace
}  // namespace switchyard
