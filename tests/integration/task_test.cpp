// `switchyard task`: examples as text to text, and metrics of predictions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/integration/program.h"

namespace switchyard::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class TaskProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_.put("val.jsonl", R"({"question": "is it", "passage": "It is.", "label": true})"
                             "\n"
                             R"({"question": "was it", "passage": "No.", "label": false})"
                             "\n");
    folder_.put("said.jsonl", "{\"output\": \"True\"}\n{\"output\": \"maybe\"}\n");
  }
  std::string file(const std::string& name) const { return folder_ / name; }

  TemporaryFolder folder_;
};

TEST_F(TaskProgram, ListsShowsAndScores) {
  const ProgramResult list = run_program({"task", "list"});
  EXPECT_EQ(list.exit_code, 0) << list.err;
  EXPECT_THAT(list.out, HasSubstr("\nboolq "));

  const ProgramResult show =
      run_program({"task", "show", "boolq", "--input", file("val.jsonl"), "--examples", "1"});
  EXPECT_EQ(show.exit_code, 0) << show.err;
  EXPECT_EQ(show.out, "input   boolq passage: It is. question: is it\ntarget  True\n\n");

  const ProgramResult score =
      run_program({"task", "score", "--task", "boolq", "--input", file("val.jsonl"),
                   "--predictions", file("said.jsonl"), "--json"});
  EXPECT_EQ(score.exit_code, 0) << score.err;
  EXPECT_EQ(json::parse(score.out), json::parse(R"({"task": "boolq", "examples": 2,
      "metrics": {"accuracy": {"accuracy": 50.0}}})"));
}

TEST_F(TaskProgram, LinesOfShowAreInputForScore) {
  const ProgramResult show = run_program(
      {"task", "show", "boolq", "--input", file("val.jsonl"), "--examples", "0", "--json"});
  ASSERT_EQ(show.exit_code, 0) << show.err;
  std::string lines;
  for (size_t begin = 0, end; (end = show.out.find('\n', begin)) != show.out.npos;
       begin = end + 1) {
    json line = json::parse(show.out.substr(begin, end - begin));
    line["output"] = "True";
    line["group"] = line["target"];
    lines += line.dump() + "\n";
  }
  folder_.put("answers.jsonl", lines);
  const ProgramResult score =
      run_program({"task", "score", "--metric", "accuracy", "--metric", "squad", "--by-group",
                   "--input", file("answers.jsonl"), "--json"});
  ASSERT_EQ(score.exit_code, 0) << score.err;
  const json result = json::parse(score.out);
  EXPECT_EQ(result["metrics"]["squad"]["em"], 50.0);
  EXPECT_EQ(result["groups"]["True"]["accuracy"]["accuracy"], 100.0);
  EXPECT_EQ(result["groups"]["False"]["accuracy"]["accuracy"], 0.0);
}

TEST_F(TaskProgram, MistakesAreToldInOneLine) {
  const auto fails = [&](std::vector<std::string> words, const std::string& message) {
    const ProgramResult result = run_program(words);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr("switchyard: error: "));
    EXPECT_THAT(result.err, HasSubstr(message));
  };
  fails({"task", "show", "bolq", "--input", file("val.jsonl")}, "did you mean 'boolq'?");
  fails({"task", "show", "boolq", "--input", file("none.jsonl")}, "none.jsonl");
  fails({"task", "show", "cb", "--input", file("val.jsonl")}, "val.jsonl:1, field");
  folder_.put("one.jsonl", "{\"output\": \"True\"}\n");
  fails({"task", "score", "--task", "boolq", "--input", file("val.jsonl"), "--predictions",
         file("one.jsonl")},
        "2 targets, but 1 predictions");
  fails({"task", "score", "--metric", "acuracy", "--input", file("said.jsonl")},
        "no text under target");
  folder_.put("said.txt", "True\n");
  fails({"task", "score", "--task", "boolq", "--input", file("val.jsonl"), "--predictions",
         file("said.txt")},
        "said.txt:1");
}

}  // namespace
}  // namespace switchyard::testing
