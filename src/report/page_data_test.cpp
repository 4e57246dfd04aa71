#include "report/page_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "report/test_runs.h"

namespace switchyard {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// As page/report.js reads them.
std::vector<double> decode(const std::string& text) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::vector<double> shares;
  for (size_t i = 0; i < text.size(); i += 2) {
    const double level = static_cast<double>(digits.find(text[i]) * 64 + digits.find(text[i + 1]));
    shares.push_back(level / 4095 * (level / 4095));
  }
  return shares;
}

TEST(EncodeShares, SmallSharesStayExact) {
  const std::vector<double> shares = {0, 1, 0.5, 1.0 / 256, 1.0 / 1024};
  const std::vector<double> read = decode(encode_shares(shares));
  ASSERT_EQ(read.size(), shares.size());
  EXPECT_EQ(read[0], 0);
  EXPECT_EQ(read[1], 1);
  for (size_t i = 2; i < shares.size(); ++i) EXPECT_NEAR(read[i] / shares[i], 1, 0.01);
}

TEST(EncodeShares, WhatIsNoShareIsClamped) {
  EXPECT_EQ(encode_shares({kNaN, -1, 7}), encode_shares({0, 0, 1}));
}

TEST(MeanCurve, AtStepsThatAllRunsHave) {
  std::vector<RunData> runs = {made_up_run("a-1", 8, 1, {-4, -3, -2}),
                               made_up_run("a-2", 8, 2, {-4.5, kNaN, -2.5, -1})};
  const std::vector<EvalPoint> mean = mean_curve(runs, {"a", {0, 1}});
  ASSERT_EQ(mean.size(), 2u);
  EXPECT_DOUBLE_EQ(mean[0].nlp, -4.25);
  EXPECT_DOUBLE_EQ(mean[1].step, 300);
  EXPECT_DOUBLE_EQ(mean[1].tokens, 300'000);
  EXPECT_DOUBLE_EQ(mean[1].nlp, -2.25);
}

// 16 runs of 100,000 lines each: the page must stay small.
TEST(PageData, LongRunsAreThinned) {
  RunData run = made_up_run("long", 8, 1, {-4, -3});
  for (size_t c = 0; c < TrainColumns::kKeys.size(); ++c) {
    const double phase = 0.3 * static_cast<double>(c);
    for (int i = 0; i < 100'000; ++i) run.train.columns[c].push_back(std::sin(i * 1.7 + phase));
  }
  const std::vector<RunData> runs(16, run);
  const nlohmann::ordered_json data = page_data(runs, compare(runs));
  EXPECT_LE(data["runs"][0]["train"]["step"].size(), 1500u);
  EXPECT_GE(data["runs"][0]["train"]["step"].size(), 300u);
  EXPECT_LT(data.dump().size(), 4'000'000u);
}

TEST(ResultsJson, HasEveryNumber) {
  const std::vector<RunData> runs = {made_up_run("dense", 0, 1, {-4, -3, -2}, 1),
                                     made_up_run("moe", 8, 1, {-4, -2, -1}, 2),
                                     made_up_run("bad", 4, 1, {-4, -4, -4}, 1)};
  const auto json = nlohmann::json::parse(results_json(runs, compare(runs)).dump());
  EXPECT_EQ(json["baseline"], "dense");
  EXPECT_EQ(json["level"], -2.0);
  EXPECT_EQ(json["runs"][1]["reach"]["steps"], 200.0);
  EXPECT_EQ(json["runs"][1]["speed_up"]["steps"], 1.5);
  EXPECT_EQ(json["runs"][1]["speed_up"]["seconds"], 0.75);
  EXPECT_EQ(json["runs"][2]["reach"]["reached"], false);
  EXPECT_TRUE(json["runs"][2]["speed_up"]["steps"].is_null());
  EXPECT_EQ(json["groups"][1]["final_nlp"]["mean"], -1.0);
}

}  // namespace
}  // namespace switchyard
