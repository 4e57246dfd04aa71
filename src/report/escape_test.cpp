#include "report/escape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include <nlohmann/json.hpp>

#include "report/page.h"

namespace switchyard {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Escape, HtmlTextAndAttributes) {
  EXPECT_EQ(escape_html("a<b> & \"c\" 'd'"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
  EXPECT_EQ(escape_html("größer"), "größer");
}

TEST(Escape, JsonCannotEndItsScript) {
  const nlohmann::ordered_json value = {{"name", "</script><!--\"&\\ \xE2\x80\xA8"}};
  const std::string text = script_json(value);
  EXPECT_THAT(text, Not(HasSubstr("<")));
  EXPECT_THAT(text, Not(HasSubstr(">")));
  EXPECT_THAT(text, Not(HasSubstr("&")));
  EXPECT_EQ(nlohmann::ordered_json::parse(text), value);
}

TEST(Escape, JsonOfWhatJsonCannotSay) {
  const nlohmann::ordered_json value = {std::numeric_limits<double>::quiet_NaN(), "\xFF"};
  EXPECT_EQ(script_json(value), "[null,\"\\ufffd\"]");
}

TEST(FillTemplate, PartsAreNotLookedAtAgain) {
  EXPECT_EQ(fill_template("<{{a}}|{{b}}>", {{"a", "{{b}}"}, {"b", "2"}}), "<{{b}}|2>");
  EXPECT_EQ(fill_template("none", {}), "none");
  EXPECT_THROW(fill_template("{{c}}", {}), std::out_of_range);
}

}  // namespace
}  // namespace switchyard
