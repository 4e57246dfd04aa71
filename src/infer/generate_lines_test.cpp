#include "infer/generate_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;

GenerateRequest parse(const std::string& line) {
  return parse_generate_line(line, nullptr, 100, "x.jsonl", 3);
}

void expect_refused(const std::string& line, const std::string& message) {
  try {
    parse(line);
    FAIL() << line;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr(message));
    EXPECT_THAT(error.what(), HasSubstr("x.jsonl, line 3"));
  }
}

TEST(GenerateLines, IdsAreTakenAsTheyAre) {
  EXPECT_EQ(parse(R"({"id": 7, "input_ids": [5, 99, 0]})").input_ids,
            (std::vector<int32_t>{5, 99, 0}));
}

TEST(GenerateLines, MistakesNameLineAndKey) {
  expect_refused("[1, 2]", "not a JSON object");
  expect_refused("{\"input_ids\": [1,", "not JSON: it goes wrong at byte 18");
  expect_refused("{\"input\": \"\xff\"}", "not JSON");
  expect_refused("{\"input_ids\": [1], \"score\": 1e309}", "not JSON: a number out of range");
  expect_refused("{}", "neither `input_ids` nor `input`");
  expect_refused(R"({"input": "a", "input_ids": [1]})", "both `input_ids` and `input`");
  expect_refused(R"({"input_ids": 1})", "not a list of ids; x.jsonl, line 3, key input_ids");
  expect_refused(R"({"input_ids": []})", "no ids");
  expect_refused(R"({"input_ids": [0, 0]})", "only padding");
  expect_refused(R"({"input_ids": [3, 100]})",
                 "id 100 is outside the vocabulary; x.jsonl, line 3, key input_ids[1]");
  expect_refused(R"({"input_ids": [-1]})", "id -1 is outside");
  expect_refused(R"({"input_ids": [4294967301]})", "id 4294967301 is outside");
  expect_refused(R"({"input_ids": [18446744073709551615]})", "id 18446744073709551615 is outside");
  expect_refused(R"({"input_ids": [1.0]})", "an id is not an integer");
  expect_refused(R"({"input_ids": ["1"]})", "an id is not an integer");
  expect_refused(R"({"input": "a"})", "no spiece.model");
  expect_refused(R"({"input": 3})", "not a text; x.jsonl, line 3, key input");
  expect_refused("{\"a\": " + std::string(100000, '['), "nested too deeply");
}

TEST(GenerateLines, AnswersKeepTheOtherKeysInOrder) {
  const GenerateRequest request = parse(R"({"z": [1, {"a": 0.1}], "input_ids": [5], "id": "é"})");
  const Generation best{{7, 8}, -1.5, -0.5, true}, second{{9}, -2.5, -1.25, true};
  EXPECT_EQ(answer_line(request, {best}, nullptr, {}),
            R"({"z":[1,{"a":0.1}],"input_ids":[5],"id":"é","output_ids":[7,8],"log_prob":-1.5})");
  AnswerOptions options;
  options.n_best = options.score = true;
  EXPECT_EQ(answer_line(request, {best, second}, nullptr, options),
            R"({"z":[1,{"a":0.1}],"input_ids":[5],"id":"é","output_ids":[7,8],"log_prob":-1.5,)"
            R"("score":-0.5,"outputs":[{"output_ids":[7,8],"log_prob":-1.5,"score":-0.5},)"
            R"({"output_ids":[9],"log_prob":-2.5,"score":-1.25}]})");
}

}  // namespace
}  // namespace switchyard
