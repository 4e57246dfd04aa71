#include "bench/step_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "bench/test_records.h"
#include "tests/error_of.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::some_step_record;

TEST(StepRecord, IsReadAsItWasWritten) {
  const nlohmann::json json = to_json(some_step_record());
  EXPECT_EQ(to_json(parse_step_record(json, "a.json")), json);
}

TEST(StepRecord, WhatIsNoneIsNamed) {
  const auto complaint = [](const nlohmann::json& json) {
    const Error error = testing::error_of([&] { parse_step_record(json, "a.json"); });
    EXPECT_EQ(error.exit_code(), 2);
    EXPECT_EQ(error.where_part(), "a.json");
    return error.what_part();
  };
  EXPECT_EQ(complaint({{"shape", "mini"}}), "no key \"processor\"");
  nlohmann::json json = to_json(some_step_record());
  json["threads"] = "two";
  EXPECT_EQ(complaint(json), "\"threads\" has the wrong type");
  json = to_json(some_step_record());
  json["parts"][1].erase("forward");
  EXPECT_EQ(complaint(json), "no key \"forward\"");
}

TEST(StepRecord, ATrainingThatDivergedCanBeRead) {
  StepRecord record = some_step_record();
  record.result.loss = std::numeric_limits<double>::quiet_NaN();
  const nlohmann::json json = nlohmann::json::parse(to_json(record).dump());
  EXPECT_TRUE(std::isnan(parse_step_record(json, "a.json").result.loss));
}

TEST(StepRecord, ComparisonGivesRatios) {
  const StepRecord before = some_step_record();
  StepRecord after = before;
  after.result.step_seconds = 0.1;
  after.result.parts = {{"experts", 0.01, 0.02}, {"router", 0.005, 0}};
  const std::string text = compare_step_records(before, after);
  EXPECT_THAT(text,
              HasSubstr("step (median)                            200.00 ms     100.00 ms     "
                        "0.500\n"));
  EXPECT_THAT(text,
              HasSubstr("experts                                  150.00 ms      30.00 ms     "
                        "0.200\n"));
  EXPECT_THAT(text,
              HasSubstr("router                                           -       5.00 ms         "
                        "-\n"));
  EXPECT_THAT(text,
              HasSubstr("norm                                      30.00 ms             -         "
                        "-\n"));
  EXPECT_THAT(text, Not(HasSubstr("note")));
}

TEST(StepRecord, ComparisonSaysWhatDiffers) {
  const StepRecord before = some_step_record();
  StepRecord after = before;
  after.setting.threads = 4;
  after.setting.processor = "Other 1";
  const std::string text = compare_step_records(before, after);
  EXPECT_THAT(text, HasSubstr("note: not the same threads: 2 / 4\n"));
  EXPECT_THAT(text, HasSubstr("note: not the same processor: Test 9000 / Other 1\n"));
}

}  // namespace
}  // namespace switchyard
