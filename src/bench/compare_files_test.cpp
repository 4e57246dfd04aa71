#include "bench/compare_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "bench/test_records.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;

class CompareFiles : public ::testing::Test {
 protected:
  std::string put(const std::string& name, const std::string& text) {
    write_file(folder_ / name, text);
    return folder_ / name;
  }
  static Error complaint(const std::string& before, const std::string& after) {
    Error error = testing::error_of([&] { compare_bench_files(before, after); });
    EXPECT_EQ(error.exit_code(), 2);
    return error;
  }

  testing::TemporaryFolder folder_;
  const std::string steps_ = put("steps.json", to_json(testing::some_step_record()).dump());
  const std::string ops_ = put("ops.json", to_json(testing::some_op_record()).dump());
};

TEST_F(CompareFiles, BothKinds) {
  EXPECT_THAT(compare_bench_files(steps_, steps_), HasSubstr("step (median)"));
  EXPECT_THAT(compare_bench_files(ops_, ops_), HasSubstr("dropout/8x8/fwd"));
}

TEST_F(CompareFiles, StepRecordsOnceHadNoKind) {
  nlohmann::json json = to_json(testing::some_step_record());
  json.erase("kind");
  EXPECT_THAT(compare_bench_files(put("old.json", json.dump()), steps_),
              HasSubstr("step (median)"));
}

TEST_F(CompareFiles, DifferentKindsAreRefused) {
  const Error error = complaint(steps_, ops_);
  EXPECT_EQ(error.what_part(),
            "one file is about whole steps, the other about single operations (--ops)");
  EXPECT_EQ(error.where_part(), steps_ + ", " + ops_);
}

TEST_F(CompareFiles, WhatIsNoResultIsNamed) {
  EXPECT_EQ(complaint(put("a.json", "[1]"), ops_).what_part(), "no key \"shape\"");
  EXPECT_THAT(complaint(ops_, put("a.json", "nonsense")).what(), HasSubstr("a.json"));
  EXPECT_THAT(complaint(put("a.json", "{\"kind\": \"decoding\"}"), ops_).what_part(),
              HasSubstr("\"decoding\""));
  EXPECT_EQ(complaint(put("a.json", "{\"kind\": 7}"), ops_).what_part(),
            "\"kind\" has the wrong type");
}

}  // namespace
}  // namespace switchyard
