#include "tasks/task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.h"
#include "tasks/example_reader.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

/// A task whose input is the field x, by this rule.
Task task_of(const std::string& rule, const std::string& more = "") {
  return Task(format("[fields]\nx = '{}'\n[labels]\n0 = \"no\"\n1 = \"yes\"\n"
                     "[text]\ninput = \"{{x}}\"\ntarget = \"-\"\n{}",
                     rule, more),
              "t.toml");
}

std::string input_of(const std::string& rule, const std::string& record) {
  return task_of(rule).examples(json::parse(record), ExampleUse::kEvaluation, "f:1").at(0).input;
}

Error failure_of(const std::string& rule, const std::string& record) {
  return error_of([&] { input_of(rule, record); });
}

Error load_failure(const std::string& toml) {
  return error_of([&] { Task(toml, "t.toml"); });
}

TEST(Task, PathsGoThroughObjectsAndLists) {
  EXPECT_EQ(input_of("a.b", R"({"a": {"b": 3}})"), "3");
  EXPECT_EQ(input_of("c, a.b", R"({"a": {"b": true}})"), "true");
  EXPECT_EQ(input_of("a[].b | join(\"-\")", R"({"a": [{"b": "x"}, {"b": "y"}]})"), "x-y");
  EXPECT_EQ(input_of("#1 String", R"({"#1 String": "x"})"), "x");
}

TEST(Task, RecordsWithinARecordSeeWhatIsAround) {
  const Task task(
      "[source]\nrecords = \"p.qs[].as[]\"\n[fields]\nq = \"q\"\na = \"text\"\n"
      "t = \"p.text\"\ni = \"../i\"\n[text]\ninput = \"{q} {a} {t} {i}\"\ntarget = \"x\"",
      "t.toml");
  const json record = json::parse(R"({"i": 0, "p": {"text": "T", "qs": [
      {"q": "Q1", "i": 1, "as": [{"text": "a", "i": 7}, {"text": "b", "i": 8}]},
      {"q": "Q2", "i": 2, "as": [{"text": "c", "i": 9}]}]}})");
  std::vector<std::string> inputs;
  for (const Example& example : task.examples(record, ExampleUse::kTraining, "f:1")) {
    inputs.push_back(example.input);
  }
  EXPECT_THAT(inputs, ElementsAre("Q1 a T 1", "Q1 b T 1", "Q2 c T 2"));
}

TEST(Task, Steps) {
  EXPECT_EQ(input_of("x | label", R"({"x": 1})"), "yes");
  EXPECT_EQ(input_of("x | lower", R"({"x": "ÉA"})"), "éa");
  EXPECT_EQ(input_of("x | negate", R"({"x": true})"), "false");
  EXPECT_EQ(input_of("x | replace(\"|\", \",\") | trim", R"({"x": " a|b "})"), "a,b");
  EXPECT_EQ(input_of("x | pad_punctuation", R"({"x": "The \"answer\",  ok."})"),
            "The \" answer \" , ok . ");
  EXPECT_EQ(input_of("x | after(\"####\")", R"({"x": "1+1\n#### 2"})"), "2");
  EXPECT_EQ(input_of("x | unique | join(\", \")", R"({"x": ["b", "a", "b"]})"), "a, b");
  EXPECT_EQ(input_of("x | options",
                     R"({"x": [{"text": "p", "label": "1"}, {"text": "q", "label": "2"}]})"),
            "(A) p (B) q");
  EXPECT_EQ(
      input_of("x | choice(y)", R"({"x": {"text": ["p", "q"], "label": ["1", "2"]}, "y": "2"})"),
      "q");
  EXPECT_EQ(input_of("x | spans(y) | join(\",\")",
                     R"({"x": [{"start": 1, "end": 2}, {"start": 0, "end": 0}], "y": "äöü"})"),
            "öü,ä");
  EXPECT_EQ(input_of("x | descriptions | join(\",\")",
                     R"j({"x": "(list (description \"a b\") (description c))"})j"),
            "a b,c");
}

// As T5: 26 classes, halves to the even multiple.
TEST(Task, NearestFifth) {
  for (const auto& [score, text] : {std::pair{"2.8", "2.8"},
                                    {"1.66", "1.6"},
                                    {"0.5", "0.4"},
                                    {"4.75", "4.8"},
                                    {"5", "5.0"},
                                    {"0.000", "0.0"}}) {
    EXPECT_EQ(input_of("x | nearest(0.2)", format(R"({{"x": "{}"}})", score)), text);
  }
  EXPECT_THAT(failure_of("x | nearest(0.2)", R"({"x": "high"})").what_part(), HasSubstr("'high'"));
  EXPECT_THAT(failure_of("x | nearest(a)", R"({"x": "1"})").what_part(), HasSubstr("nearest(a)"));
}

TEST(Task, PronounsAreFoundNearTheirPlace) {
  const std::string rule = "x | mark_pronoun(i, p)";
  EXPECT_EQ(input_of(rule, R"({"x": "Tom said he could", "i": 2, "p": "he"})"),
            "Tom said *he* could");
  EXPECT_EQ(input_of(rule, R"({"x": "to use it , but", "i": 1, "p": "it"})"), "to use *it* , but");
  EXPECT_EQ(input_of(rule, R"({"x": "if it was used", "i": 3, "p": "it"})"), "if *it* was used");
  EXPECT_EQ(input_of(rule, R"({"x": "Good for him,\" he", "i": 2, "p": "him"})"),
            "Good for *him* ,\" he");
  EXPECT_THAT(failure_of(rule, R"({"x": "a b", "i": 1, "p": "he"})").what_part(),
              HasSubstr("'he'"));
}

TEST(Task, ErrorsNamePlaceAndField) {
  const Error missing = failure_of("a.b, c", R"({"a": 1})");
  EXPECT_EQ(missing.exit_code(), 2);
  EXPECT_EQ(missing.what_part(), "nothing at a.b or c");
  EXPECT_EQ(missing.where_part(), "f:1, field x");
  EXPECT_EQ(failure_of("x | label", R"({"x": 2})").where_part(), "f:1, field x");
  EXPECT_THAT(failure_of("x | label", R"({"x": 2})").what_part(), HasSubstr("known: 0, 1"));
  EXPECT_EQ(failure_of("x", R"({"x": [1]})").where_part(), "f:1, field x");
  EXPECT_THAT(
      failure_of("x | spans(y)", R"({"x": [{"start": 1, "end": 3}], "y": "abc"})").what_part(),
      HasSubstr("1 to 3"));
  EXPECT_THAT(
      failure_of("x | choice(y)", R"({"x": [{"text": "p", "label": "A"}], "y": "B"})").what_part(),
      HasSubstr("'B'"));
}

TEST(Task, MistakesInATaskFileAreNamed) {
  const std::string good = "[fields]\nx = \"x\"\n[text]\ninput = \"{x}\"\ntarget = \"{x}\"\n";
  EXPECT_NO_THROW(Task(good, "t.toml"));
  const Error unknown = load_failure(good + "reference = \"x\"\n");
  EXPECT_EQ(unknown.where_part(), "t.toml:6");
  EXPECT_THAT(unknown.hint_part(), HasSubstr("text.references"));
  EXPECT_THAT(load_failure(good + "[metrics]\nacuracy = true\n").hint_part(),
              HasSubstr("metrics.accuracy"));
  EXPECT_THAT(load_failure(good + "group = \"y\"\n").what_part(), HasSubstr("unknown field 'y'"));
  EXPECT_THAT(error_of([] { task_of("x | lowr"); }).hint_part(), HasSubstr("'lower'"));
  EXPECT_THAT(error_of([] { task_of("x | join"); }).what_part(), HasSubstr("takes 1 arguments"));
  EXPECT_THAT(error_of([] { task_of("x..y"); }).what_part(), HasSubstr("empty key"));
  EXPECT_THAT(
      load_failure("[fields]\nx = \"x\"\n[text]\ninput = \"{y}\"\ntarget = \"a\"").what_part(),
      HasSubstr("'y'"));
  EXPECT_THAT(load_failure("[text]\ninput = \"a}\"\ntarget = \"a\"").what_part(),
              HasSubstr("brace"));
  EXPECT_THAT(load_failure("[text]\ninput = \"a\"").what_part(), HasSubstr("no text.target"));
  EXPECT_THAT(load_failure("[text\n").where_part(), HasSubstr("t.toml:1"));
}

TEST(Task, LoadsByNameOrPath) {
  const testing::TemporaryFolder folder;
  folder.put("mine.toml", "[text]\ninput = \"a {{b}}\"\ntarget = \"c\"\n[lengths]\ninput = 7\n");
  const Task mine = load_task(folder / "mine.toml");
  EXPECT_EQ(mine.name(), "mine");
  EXPECT_EQ(mine.config().lengths.input, 7);
  EXPECT_EQ(mine.examples(json::object(), ExampleUse::kTraining, "").at(0).input, "a {b}");
  EXPECT_EQ(load_task("boolq").name(), "boolq");
  EXPECT_THAT(error_of([] { load_task("bolq"); }).hint_part(), HasSubstr("'boolq'"));
}

class ReadExamples : public ::testing::Test {
 protected:
  std::vector<std::string> inputs(const std::string& source, const std::string& text,
                                  uint64_t damaged = 0) {
    folder_.put("f", text);
    const Task task(
        "[source]\n" + source + "[fields]\nx = \"x\"\n[text]\ninput = \"{x}\"\ntarget = \"t\"",
        "t.toml");
    std::vector<std::string> all;
    const ExampleCounts counts =
        read_examples(task, folder_ / "f", ExampleUse::kTraining, [&](const Example& example) {
          all.push_back(example.input);
          return all.size() < 4;
        });
    EXPECT_EQ(counts.damaged, damaged);
    EXPECT_EQ(counts.examples, all.size());
    return all;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(ReadExamples, JsonLines) {
  EXPECT_THAT(inputs("", "\uFEFF{\"x\": 1}\r\n\n{\"x\": \"b\"}"), ElementsAre("1", "b"));
  const Error error = error_of([&] { inputs("", "{\"x\": 1}\n\n{\"x\": \n"); });
  EXPECT_THAT(error.where_part(), HasSubstr("/f:3"));
  EXPECT_THAT(error_of([&] { inputs("", "{\"y\": 1}\n"); }).where_part(),
              HasSubstr("/f:1, field x"));
  EXPECT_THAT(error_of([&] { inputs("", "{\"x\": \"\xFF\"}\n"); }).what_part(), HasSubstr("UTF-8"));
}

TEST_F(ReadExamples, Columns) {
  const std::string tsv = "format = \"tsv\"\n";
  EXPECT_THAT(inputs(tsv, "x\ty\n\"a\t1\nb\"\t2\n"), ElementsAre("\"a", "b\""));
  EXPECT_THAT(inputs(tsv + "columns = \"y, x\"\n", "1\ta\n"), ElementsAre("a"));
  const Error error = error_of([&] { inputs(tsv, "x\ty\na\t1\nb\n"); });
  EXPECT_THAT(error.where_part(), HasSubstr("/f:3"));
  EXPECT_EQ(error.what_part(), "1 columns instead of 2");
  EXPECT_THAT(inputs(tsv + "on_damage = \"skip\"\n", "x\ty\na\t1\nb\nc\t2\n", 1),
              ElementsAre("a", "c"));
}

TEST_F(ReadExamples, OneJsonValue) {
  const std::string format = "format = \"json\"\n";
  EXPECT_THAT(inputs(format + "records = \"d[]\"\n", "{\"d\": [{\"x\": 1},\n {\"x\": 2}]}"),
              ElementsAre("1", "2"));
  EXPECT_THAT(inputs(format, "[{\"x\": 1}, {\"x\": 2}]"), ElementsAre("1", "2"));
  EXPECT_THAT(error_of([&] { inputs(format, "[{\"x\": 1}, {}]"); }).where_part(),
              HasSubstr("/f, record 2, field x"));
  EXPECT_THAT(error_of([&] { inputs(format + "records = \"d[]\"\n", "{\"e\": []}"); }).what_part(),
              HasSubstr("d[]"));
}

TEST_F(ReadExamples, StopsWhenItHasEnough) {
  EXPECT_EQ(inputs("", "{\"x\":1}\n{\"x\":2}\n{\"x\":3}\n{\"x\":4}\nnot read\n").size(), 4u);
}

TEST_F(ReadExamples, SkipsRecordsWithoutAValue) {
  EXPECT_THAT(inputs("skip_without = \"x\"\n", "{\"y\":1}\n{\"x\":2}\n"), ElementsAre("2"));
}

}  // namespace
}  // namespace switchyard
