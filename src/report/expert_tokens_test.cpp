#include "report/expert_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/test_runs.h"

namespace switchyard {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(ExpertTokens, AreListedByLayerAndExpert) {
  RunData run = made_up_run("m<e", 2, 1, {-2});
  run.layer_tokens = {{"encoder.1", {{{"a<b", 0.25, 0.5}, {"c", 0.125, 1}}, {}}}};
  const std::string html = expert_tokens_html({run});
  EXPECT_THAT(
      html, AllOf(HasSubstr("m&lt;e"), HasSubstr("encoder.1"), HasSubstr(">a&lt;b</span>"),
                  HasSubstr("25.0 % of the expert's tokens; the expert gets 50 %"),
                  HasSubstr("<td>1</td><td class=\"text\"></td>"), Not(HasSubstr("more experts"))));
}

TEST(ExpertTokens, ManyExpertsAreCutAndTold) {
  RunData run = made_up_run("moe", 2, 1, {-2});
  run.layer_tokens = {{"encoder.1", std::vector<std::vector<TellingToken>>(70)}};
  EXPECT_THAT(expert_tokens_html({run}),
              AllOf(HasSubstr("and 6 more experts"), Not(HasSubstr("<td>64</td>"))));
}

TEST(ExpertTokens, AreAbsentWhereNothingIsKnown) {
  EXPECT_EQ(expert_tokens_html({made_up_run("dense", 0, 1, {-2})}), "");
}

}  // namespace
}  // namespace switchyard
