// The page of a planned step.
#include "report/timeline_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace switchyard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(TimelinePage, HoldsEverythingAndEscapesIt) {
  const nlohmann::ordered_json trace = {
      {"traceEvents", {{{"name", "</script><b>"}, {"ph", "X"}, {"ts", 0}, {"dur", 1}}}}};
  const std::string page = make_timeline_page("a <b> & c", "1 < 2", trace, "9.9");
  EXPECT_THAT(page, HasSubstr("<h1>a &lt;b&gt; &amp; c</h1>"));
  EXPECT_THAT(page, HasSubstr("<pre>1 &lt; 2</pre>"));
  EXPECT_THAT(page, Not(HasSubstr("</script><b>")));
  EXPECT_THAT(page, HasSubstr("switchyard 9.9"));
  EXPECT_THAT(page, Not(HasSubstr("{{")));
  EXPECT_THAT(page, Not(HasSubstr("://")));  // needs nothing else
}

}  // namespace
}  // namespace switchyard
