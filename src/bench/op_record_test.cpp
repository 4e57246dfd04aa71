#include "bench/op_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/op_table.h"
#include "bench/test_records.h"
#include "tests/error_of.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::some_op_record;

TEST(OpRecord, IsReadAsItWasWritten) {
  const nlohmann::json json = to_json(some_op_record());
  EXPECT_EQ(to_json(parse_op_record(json, "a.json")), json);
  EXPECT_EQ(json["ops"][0]["ratio"], 2.0);
}

TEST(OpRecord, WhatIsNoneIsNamed) {
  const auto complaint = [](const nlohmann::json& json) {
    const Error error = testing::error_of([&] { parse_op_record(json, "a.json"); });
    EXPECT_EQ(error.exit_code(), 2);
    EXPECT_EQ(error.where_part(), "a.json");
    return error.what_part();
  };
  nlohmann::json json = to_json(some_op_record());
  json.erase("limits");
  EXPECT_EQ(complaint(json), "no key \"limits\"");
  json = to_json(some_op_record());
  json["limits"].erase("memory_copy");
  EXPECT_EQ(complaint(json), "no key \"memory_copy\"");
  json = to_json(some_op_record());
  json["ops"][1]["seconds"] = "fast";
  EXPECT_EQ(complaint(json), "\"seconds\" has the wrong type");
  json["ops"] = 3;
  EXPECT_EQ(complaint(json), "\"ops\" has the wrong type");
}

TEST(OpRecord, ComparisonGivesRatios) {
  const OpRecord before = some_op_record();
  OpRecord after = before;
  after.result.ops[0].seconds = 0.0005;
  after.result.ops[1].name = "jitter/8x8/fwd";
  const std::string text = compare_op_records(before, after);
  EXPECT_THAT(text, HasSubstr("gemm/bf16/8x8x8/fwd                         1.000 ms    0.500 ms"
                              "    0.500      2.00      4.00\n"));
  EXPECT_THAT(text, HasSubstr("jitter/8x8/fwd                                     -    0.100 ms"
                              "        -         -      4.00\n"));
  EXPECT_THAT(text, HasSubstr("dropout/8x8/fwd                             0.100 ms           -"
                              "        -      4.00         -\n"));
  EXPECT_THAT(text, HasSubstr("memory read, GB/s                             20.000      20.000"));
  EXPECT_THAT(text, Not(HasSubstr("note")));
}

TEST(OpRecord, ComparisonSaysWhatDiffers) {
  OpRecord after = some_op_record();
  after.instructions = "avx2";
  EXPECT_THAT(compare_op_records(some_op_record(), after),
              HasSubstr("note: not the same instructions: avx512bf16 / avx2\n"));
}

TEST(OpTable, SaysRateShareLimitAndRatio) {
  const std::string text = op_table(some_op_record().result);
  EXPECT_THAT(text, HasSubstr("limits: 1.500 TFLOP/s of bf16 products, 0.200 of fp32; memory 20.0 "
                              "GB/s read, 15.0 copied\n"));
  EXPECT_THAT(text, HasSubstr("1.000 ms   1.000 TFLOP/s"));
  EXPECT_THAT(text, HasSubstr("60.0 % of gemm"));
  EXPECT_THAT(text, HasSubstr("0.100 ms       10.0 GB/s"));
  EXPECT_THAT(text, HasSubstr("experts/large                           left out"));
}

}  // namespace
}  // namespace switchyard
