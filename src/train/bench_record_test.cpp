#include "train/bench_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/files.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

BenchRecord some_record() {
  BenchRecord record{{"mini", "Test 9000", "bf16-selective", 2, 8, 256, 64}, {}};
  record.result.parameters = 1234567;
  record.result.gemm_rate = 1.5e12;
  record.result.step_seconds = 0.2;
  record.result.fastest = 0.19;
  record.result.slowest = 0.25;
  record.result.tokens_per_second = 12800;
  record.result.gemm_share = 0.5;
  record.result.dropped_share = 0.125;
  record.result.peak_memory = 1 << 30;
  record.result.loss = 9.5;
  record.result.profiled_seconds = 0.21;
  record.result.parts = {{"experts", 0.05, 0.1}, {"norm", 0.01, 0.02}};
  return record;
}

TEST(BenchRecord, IsReadAsItWasWritten) {
  const testing::TemporaryFolder folder;
  write_file(folder / "a.json", to_json(some_record()).dump());
  EXPECT_EQ(to_json(read_bench_record(folder / "a.json")), to_json(some_record()));
}

TEST(BenchRecord, WhatIsNoneIsNamed) {
  const testing::TemporaryFolder folder;
  const auto complaint = [&](const std::string& text) {
    write_file(folder / "a.json", text);
    const Error error = testing::error_of([&] { read_bench_record(folder / "a.json"); });
    EXPECT_EQ(error.exit_code(), 2);
    return std::string(error.what());
  };
  EXPECT_THAT(complaint("{\"shape\": \"mini\"}"), HasSubstr("no key \"processor\""));
  EXPECT_THAT(complaint("[1]"), HasSubstr("no key \"shape\""));
  EXPECT_THAT(complaint("nonsense"), HasSubstr("a.json"));
  nlohmann::json json = to_json(some_record());
  json["threads"] = "two";
  EXPECT_THAT(complaint(json.dump()), HasSubstr("\"threads\" has the wrong type"));
  json = to_json(some_record());
  json["parts"][1].erase("forward");
  EXPECT_THAT(complaint(json.dump()), HasSubstr("no key \"forward\""));
}

TEST(BenchRecord, ATrainingThatDivergedCanBeRead) {
  const testing::TemporaryFolder folder;
  BenchRecord record = some_record();
  record.result.loss = std::numeric_limits<double>::quiet_NaN();
  write_file(folder / "a.json", to_json(record).dump());
  EXPECT_TRUE(std::isnan(read_bench_record(folder / "a.json").result.loss));
}

TEST(BenchRecord, ComparisonGivesRatios) {
  const BenchRecord before = some_record();
  BenchRecord after = before;
  after.result.step_seconds = 0.1;
  after.result.parts = {{"experts", 0.01, 0.02}, {"router", 0.005, 0}};
  const std::string text = compare_bench_records(before, after);
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

TEST(BenchRecord, ComparisonSaysWhatDiffers) {
  const BenchRecord before = some_record();
  BenchRecord after = before;
  after.setting.threads = 4;
  after.setting.processor = "Other 1";
  const std::string text = compare_bench_records(before, after);
  EXPECT_THAT(text, HasSubstr("note: not the same threads: 2 / 4\n"));
  EXPECT_THAT(text, HasSubstr("note: not the same processor: Test 9000 / Other 1\n"));
}

}  // namespace
}  // namespace switchyard
