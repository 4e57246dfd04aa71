#include "base/field_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/random.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Inner {
  double rate = 0.5;
  void list_fields(FieldList& fields) { fields.number("rate", &rate, 0, 10, "how fast"); }
};

struct Outer {
  bool on = false;
  int64_t steps = 7;
  std::string name = "plain";
  std::string kind = "relu";
  WeightedPaths train;
  Inner inner;
  void list_fields(FieldList& fields) {
    fields.flag("on", &on, "whether");
    fields.integer("steps", &steps, 1, 1000, "how many");
    fields.text("name", &name, "what it is called");
    fields.choice("kind", &kind, {"relu", "geglu"}, "which");
    fields.paths("train", &train, "from where");
    fields.section("inner", inner);
  }
};

class FieldListTest : public ::testing::Test {
 protected:
  FieldListTest() { fields_.section("outer", outer_); }

  /// Reads a recipe that must be refused.
  Error refused(const std::string& text) {
    try {
      fields_.read_toml(text, "recipe.toml");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      return error;
    }
    ADD_FAILURE() << "accepted: " << text;
    return usage_error("accepted");
  }
  std::string refused_set(const std::string& assignment) {
    try {
      fields_.set(assignment);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      EXPECT_EQ(error.where_part(), "--set " + assignment);
      return error.what();
    }
    ADD_FAILURE() << "accepted: " << assignment;
    return "";
  }
  std::string refused_json(const std::string& text) {
    try {
      fields_.read_json(nlohmann::json::parse(text), "config.json");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      return error.what();
    }
    ADD_FAILURE() << "accepted: " << text;
    return "";
  }

  Outer outer_;
  FieldList fields_;
};

TEST_F(FieldListTest, ReadsEveryKind) {
  fields_.read_toml(R"(
[outer]
on = true
steps = 1_000
name = "a \"b\" \u00e9"
kind = "geglu"
[outer.train]
"b/dir" = 2
a = 0.5
[outer.inner]
rate = 3      # an integer is a number too
)",
                    "recipe.toml");
  EXPECT_TRUE(outer_.on);
  EXPECT_EQ(outer_.steps, 1000);
  EXPECT_EQ(outer_.name, "a \"b\" \u00e9");
  EXPECT_EQ(outer_.kind, "geglu");
  EXPECT_EQ(outer_.train, (WeightedPaths{{"a", 0.5}, {"b/dir", 2.0}})) << "sorted by path";
  EXPECT_EQ(outer_.inner.rate, 3.0);
}

TEST_F(FieldListTest, UnknownKeysNameLineAndNearestKey) {
  EXPECT_STREQ(refused("[outer]\non = true\nstep = 3\n").what(),
               "unknown key 'outer.step'; recipe.toml:3; did you mean 'outer.steps'?");
  EXPECT_STREQ(refused("[outer.iner]\nrate = 1\n").what(),
               "unknown key 'outer.iner'; recipe.toml:1; did you mean 'outer.inner'?");
  EXPECT_THAT(refused("completely_different_thing_here = 1\n").what(), HasSubstr("--print-recipe"));
  EXPECT_THAT(refused("[nothing_like_it_at_all_here]\n").what(), HasSubstr("unknown key"));
}

TEST_F(FieldListTest, WrongTypesNameLineAndRightType) {
  EXPECT_STREQ(refused("[outer]\nsteps = \"many\"\n").what(),
               "outer.steps has the wrong type; recipe.toml:2; give an integer");
  EXPECT_STREQ(refused("[outer]\nsteps = 2.0\n").what(),
               "outer.steps has the wrong type; recipe.toml:2; give an integer");
  EXPECT_STREQ(refused("[outer]\non = 1\n").what(),
               "outer.on has the wrong type; recipe.toml:2; give true or false");
  EXPECT_STREQ(refused("[outer.inner]\nrate = [1]\n").what(),
               "outer.inner.rate has the wrong type; recipe.toml:2; give a number");
  EXPECT_STREQ(refused("[outer]\nname = 3\n").what(),
               "outer.name has the wrong type; recipe.toml:2; give text");
  EXPECT_THAT(refused("[outer]\ntrain = 3\n").what(), HasSubstr("outer.train has the wrong type"));
  EXPECT_THAT(refused("outer = 3\n").what(), HasSubstr("unknown key 'outer'"));
  EXPECT_THAT(refused("[outer.steps]\nx = 3\n").what(), HasSubstr("has the wrong type"));
}

TEST_F(FieldListTest, RangesAndChoices) {
  EXPECT_STREQ(refused("[outer]\nsteps = 0\n").what(),
               "outer.steps = 0 is out of range; recipe.toml:2; give a value from 1 to 1000");
  EXPECT_THAT(refused("[outer.inner]\nrate = nan\n").what(), HasSubstr("out of range"));
  EXPECT_THAT(refused("[outer.inner]\nrate = inf\n").what(), HasSubstr("out of range"));
  EXPECT_THAT(refused("[outer]\nkind = \"gelu\"\n").what(),
              HasSubstr("choose one of: relu, geglu"));
  EXPECT_EQ(outer_.steps, 7);
}

TEST_F(FieldListTest, WeightsMustBeAboveZeroAndFinite) {
  for (const char* weight : {"0", "-1", "nan", "inf", "\"1\"", "true"}) {
    EXPECT_THAT(refused("[outer.train]\n\"a\" = " + std::string(weight) + "\n").what(),
                HasSubstr("needs a weight above 0"))
        << weight;
  }
  EXPECT_THAT(refused_json(R"({"outer": {"train": {"a": -1}}})"), HasSubstr("above 0"));
  EXPECT_THAT(refused_json(R"({"outer": {"train": {"a": "1"}}})"), HasSubstr("above 0"));
}

TEST_F(FieldListTest, SyntaxErrorsNameTheLine) {
  EXPECT_EQ(refused("[outer]\n\nsteps = = 3\n").where_part(), "recipe.toml:3");
  EXPECT_EQ(refused("[outer\n").where_part(), "recipe.toml:1");
  EXPECT_EQ(refused("[outer]\nsteps = 1\nsteps = 2\n").where_part(), "recipe.toml:3");
  EXPECT_EQ(refused("[outer]\nname = \"\xFF\"\n").where_part(), "recipe.toml:2");
}

TEST_F(FieldListTest, FilesAreReadAndNamed) {
  const testing::TemporaryFolder folder;
  write_file(folder / "recipe.toml", "[outer]\r\nsteps = 12\r\n");
  fields_.read_toml_file(folder / "recipe.toml");
  EXPECT_EQ(outer_.steps, 12);
  EXPECT_THROW(fields_.read_toml_file(folder / "none.toml"), Error);
}

TEST_F(FieldListTest, SetTakesTomlValuesAndBareText) {
  fields_.set("outer.steps=30");
  fields_.set("outer.inner.rate=1e-3");
  fields_.set("outer.on=true");
  fields_.set("outer.name=some = text, 'bare'");
  fields_.set("outer.train=/a/dir");
  EXPECT_EQ(outer_.steps, 30);
  EXPECT_EQ(outer_.inner.rate, 1e-3);
  EXPECT_TRUE(outer_.on);
  EXPECT_EQ(outer_.name, "some = text, 'bare'");
  EXPECT_EQ(outer_.train, (WeightedPaths{{"/a/dir", 1.0}}));
  fields_.set("outer.name=\"quoted\\n\"");
  fields_.set("outer.train={ \"x\" = 2, y = 3 }");
  EXPECT_EQ(outer_.name, "quoted\n");
  EXPECT_EQ(outer_.train, (WeightedPaths{{"x", 2.0}, {"y", 3.0}}));
  fields_.set("outer.train=");
  EXPECT_TRUE(outer_.train.empty()) << "no path is none, not one of no name";
  fields_.set("outer.name=");
  EXPECT_EQ(outer_.name, "");
}

TEST_F(FieldListTest, SetRefuses) {
  EXPECT_THAT(refused_set("outer.steps"), HasSubstr("no '='"));
  EXPECT_THAT(refused_set("outer.step=3"), HasSubstr("did you mean 'outer.steps'"));
  EXPECT_THAT(refused_set("outer.steps=soon"), HasSubstr("give an integer"));
  EXPECT_THAT(refused_set("outer.steps="), HasSubstr("give an integer"));
  EXPECT_THAT(refused_set("outer.steps=3.5"), HasSubstr("give an integer"));
  EXPECT_THAT(refused_set("outer.steps=2000"), HasSubstr("out of range"));
  EXPECT_THAT(refused_set("outer.kind=gelu"), HasSubstr("choose one of"));
  EXPECT_THAT(refused_set("outer.steps=3\nother = 4"), HasSubstr("wrong type"));
  EXPECT_EQ(outer_.steps, 7);
}

TEST_F(FieldListTest, TomlAndJsonReadBack) {
  const RandomStream random(1, kRandomTest);
  for (uint64_t i = 0; i < 200; ++i) {
    outer_.on = random.bits(4 * i) % 2;
    outer_.steps = 1 + static_cast<int64_t>(random.below(4 * i + 1, 1000));
    outer_.inner.rate = random.uniform(16 * i) * 10;
    outer_.name.clear();
    // Control characters, quotes, DEL and letters beyond ASCII.
    for (uint64_t c = 0; c < i % 9; ++c) {
      outer_.name += static_cast<char>(random.below(100 * i + c, 128));
    }
    outer_.name += i % 3 ? "" : "\u00e9\u4e2d";
    outer_.train.clear();
    for (uint64_t p = 0; p < i % 4; ++p) {
      outer_.train.emplace_back("dir \"" + std::to_string(p) + "\\",
                                0.25 * static_cast<double>(p + 1));
    }
    for (const bool with_help : {false, true}) {
      Outer copy;
      FieldList copy_fields;
      copy_fields.section("outer", copy);
      copy_fields.read_toml(fields_.to_toml(with_help), "copy");
      EXPECT_EQ(copy_fields.to_toml(), fields_.to_toml());
      EXPECT_EQ(copy.name, outer_.name);
      EXPECT_EQ(copy.inner.rate, outer_.inner.rate) << "to the bit";
      EXPECT_EQ(copy.train, outer_.train);
    }
    Outer copy;
    FieldList copy_fields;
    copy_fields.section("outer", copy);
    copy_fields.read_json(nlohmann::json::parse(fields_.to_json().dump()), "copy");
    EXPECT_EQ(copy_fields.to_toml(), fields_.to_toml());
  }
}

TEST_F(FieldListTest, JsonIsCheckedToo) {
  EXPECT_THAT(refused_json("[]"), HasSubstr("JSON object"));
  EXPECT_THAT(refused_json(R"({"outer": {"step": 3}})"), HasSubstr("did you mean 'outer.steps'"));
  EXPECT_THAT(refused_json(R"({"outer": {"steps": 3.5}})"), HasSubstr("give an integer"));
  EXPECT_THAT(refused_json(R"({"outer": {"steps": 18446744073709551615}})"),
              HasSubstr("out of range"));
  EXPECT_THAT(refused_json(R"({"outer": {"on": null}})"), HasSubstr("give true or false"));
  EXPECT_THAT(refused_json(R"({"outer": {"kind": "gelu"}})"), HasSubstr("choose one of"));
  fields_.read_json(nlohmann::json::parse(R"({"outer": {"newer": 3, "steps": 9}})"), "config.json",
                    /*ignore_unknown=*/true);
  EXPECT_EQ(outer_.steps, 9);
}

TEST_F(FieldListTest, HelpStandsBesideTheValue) {
  EXPECT_THAT(fields_.to_toml(true), HasSubstr("# which (relu, geglu)\n"));
  EXPECT_THAT(fields_.to_toml(), Not(HasSubstr("#")));
}

}  // namespace
}  // namespace switchyard
