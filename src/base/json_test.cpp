#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard {
namespace {

using ::testing::HasSubstr;

void expect_refused(const std::string& text, const std::string& what) {
  try {
    parse_json(text, "f.json", ErrorKind::kUsage);
    ADD_FAILURE() << text.substr(0, 80);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr(what));
    EXPECT_THAT(error.what(), HasSubstr("f.json"));
  }
}

TEST(ParseJson, KeepsOrderWhereAsked) {
  const std::string text = R"({"b":1,"a":{"b":[1,{"b":2}],"c":3}})";
  EXPECT_EQ(parse_json<nlohmann::ordered_json>(text, "f").dump(), text);
  EXPECT_EQ(parse_json(text, "f").dump(), R"({"a":{"b":[1,{"b":2}],"c":3},"b":1})");
}

TEST(ParseJson, RefusesWhatIsNotSound) {
  expect_refused("", "byte 1");
  expect_refused(R"({"a":1)", "not valid JSON");
  expect_refused(R"({"a":1} x)", "byte 9");
  expect_refused("{\"\xc3(\":1}", "not valid JSON");
  expect_refused("1e999", "out of range");
  expect_refused(R"({"a":1,"b":{"c":1,"c":2}})", "'c' stands twice");
  parse_json(std::string(32, '[') + std::string(32, ']'), "f");
  expect_refused(std::string(100000, '['), "nested more than 32");
}

}  // namespace
}  // namespace switchyard
