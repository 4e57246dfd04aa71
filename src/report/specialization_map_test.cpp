#include "report/specialization_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "report/test_runs.h"

namespace switchyard {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(MutualInformation, IsZeroForEqualUseAndLogOfExpertsForSeparateUse) {
  const SourceLoad even{"l", "a", {0.5, 0.5}}, also{"l", "b", {0.5, 0.5}};
  EXPECT_DOUBLE_EQ(mutual_information({&even, &also}), 0);
  const SourceLoad left{"l", "a", {1, 0}}, right{"l", "b", {0, 1}};
  EXPECT_DOUBLE_EQ(mutual_information({&left, &right}), std::log(2.0));
}

TEST(SpecializationMap, HasACellForEachSourceAndExpert) {
  RunData run = made_up_run("moe", 2, 1, {-2});
  run.source_loads = {{"encoder.1", "de", {0.75, 0.25}},
                      {"encoder.1", "s<w", {0.25, 0.75}},
                      {"decoder.1", "de", {0.5, 0.5}},
                      {"decoder.1", "s<w", {0.5, 0.5}}};
  const std::string html = specialization_html({run});
  EXPECT_THAT(html, AllOf(HasSubstr("de, expert 0: 75.0 % of its tokens, mean 50.0 %"),
                          HasSubstr("s&lt;w, expert 1: 75.0 %"), HasSubstr("encoder.1"),
                          HasSubstr("decoder.1"), Not(HasSubstr("nan"))));
}

TEST(SpecializationMap, IsAbsentWithoutSources) {
  RunData run = made_up_run("moe", 2, 1, {-2});
  EXPECT_EQ(specialization_html({run}), "");
  run.source_loads = {{"encoder.1", "de", {0.75, 0.25}}};
  EXPECT_EQ(specialization_html({run}), "");
  run.source_loads.push_back({"encoder.1", "sw", {0.5, 0.25, 0.25}});
  EXPECT_EQ(specialization_html({run}), "") << "loads of unequal length";
}

}  // namespace
}  // namespace switchyard
