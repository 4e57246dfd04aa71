// Several languages through the real program: prepared at once, one vocabulary, mixed by size,
// measured one by one, shown by the report.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/format.h"
#include "tests/integration/program.h"
#include "tests/integration/tiny_run.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class LanguagesProgram : public ::testing::Test {
 protected:
  LanguagesProgram() {
    write_file(folder_ / "aa.txt", made_up_text(1500, 1));
    write_file(folder_ / "bb.txt", made_up_text(300, 2));
    write_file(folder_ / "recipe.toml", kTinyRecipe);
  }

  void run_well(const std::vector<std::string>& words, std::string* out = nullptr) const {
    const ProgramResult result = run_program(words);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    if (out) *out = result.out;
  }

  std::vector<std::string> prepare_command() const {
    return {"prepare",
            "--each",
            "--input",
            folder_ / "aa.txt",
            folder_ / "bb.txt",
            "--tokenizer",
            folder_ / "spiece.model",
            "--output",
            folder_ / "data",
            "--validation-share",
            "0.2"};
  }

  std::vector<std::string> train_command(const std::string& run, const std::string& experts) const {
    return {"train",
            "--recipe",
            folder_ / "recipe.toml",
            "--run-dir",
            run,
            "--threads",
            "1",
            "--set",
            "data.train=" + (folder_ / "data"),
            "--set",
            "data.validation=" + (folder_ / "data"),
            "--set",
            "data.size_exponent=0.3",
            "--set",
            "model.moe.num_experts=" + experts};
  }

  static std::vector<Json> evaluations(const std::string& run) {
    std::vector<Json> found;
    std::istringstream lines(read_file(run + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const Json object = Json::parse(line);
      if (object["kind"] == "eval") found.push_back(object);
    }
    return found;
  }

  TemporaryFolder folder_;
};

TEST_F(LanguagesProgram, FromTextToTheReport) {
  run_well({"tokenizer", "train", "--balance", "0.3", "--byte-fallback", "--input",
            folder_ / "aa.txt", folder_ / "bb.txt", "--vocab-size", "500", "--output",
            folder_ / "spiece.model"});
  std::string out;
  run_well(prepare_command(), &out);
  EXPECT_THAT(out, HasSubstr("2 languages"));
  run_well(prepare_command(), &out);
  EXPECT_THAT(out, HasSubstr("was ready"));
  const std::string dense = folder_ / "dense", sparse = folder_ / "sparse";
  run_well(train_command(dense, "0"));
  run_well(train_command(sparse, "4"));

  const std::vector<Json> lines = evaluations(sparse);
  ASSERT_EQ(lines.size(), 3u);
  for (const Json& line : lines) {
    EXPECT_EQ(line["sequences"], 16) << "train.evaluate_sequences of each language";
    const double mean =
        (line["nlp_by_data"]["aa"].get<double>() + line["nlp_by_data"]["bb"].get<double>()) / 2;
    EXPECT_NEAR(line["nlp"].get<double>(), mean, 1e-9) << "as many targets of each";
  }
  const Json loads = Json::parse(read_file(sparse + "/specialization.json"));
  EXPECT_EQ(loads["step"], 12);
  for (const Json& layer : loads["layers"]) {
    for (const auto& [name, source] : layer["sources"].items()) {
      double sum = 0;
      for (const double share : source["load"]) sum += share;
      EXPECT_NEAR(sum, 1, 1e-9) << layer["layer"] << " " << name;
    }
    ASSERT_EQ(layer["expert_tokens"].size(), 4u);
    size_t told = 0;
    for (const Json& tokens : layer["expert_tokens"]) {
      for (const Json& token : tokens) {
        EXPECT_FALSE(token[1].get<std::string>().empty()) << token[0];
        EXPECT_GT(token[2].get<double>(), 0);
        EXPECT_LE(token[3].get<double>(), 1);
        ++told;
      }
    }
    EXPECT_GT(told, 0u) << layer["layer"];
  }
  EXPECT_FALSE(fs::exists(dense + "/specialization.json"));

  run_well({"eval", "--model", sparse, "--data", folder_ / "data", "--sequences", "8", "--threads",
            "1", "--json"},
           &out);
  const Json result = Json::parse(out);
  ASSERT_EQ(result["sources"].size(), 2u);
  EXPECT_EQ(result["sources"][1]["name"], "bb");
  EXPECT_NEAR(result["sources"][1]["nlp"].get<double>(),
              lines.back()["nlp_by_data"]["bb"].get<double>(), 1e-4);

  run_well({"report", dense, sparse, "--output", folder_ / "page.html", "--json"}, &out);
  EXPECT_EQ(Json::parse(out)["languages"][0]["languages"].size(), 2u);
  const std::string page = read_file(folder_ / "page.html");
  EXPECT_THAT(page, HasSubstr("id=\"languages\""));
  EXPECT_THAT(page, HasSubstr("id=\"specialization\""));
  EXPECT_THAT(page, HasSubstr("id=\"expert-tokens\""));
}

TEST_F(LanguagesProgram, ExpertsThatAreFullInEvaluationAreTold) {
  run_well({"tokenizer", "train", "--byte-fallback", "--input", folder_ / "aa.txt",
            folder_ / "bb.txt", "--vocab-size", "500", "--output", folder_ / "spiece.model"});
  run_well(prepare_command());
  std::vector<std::string> words = train_command(folder_ / "tight", "4");
  for (const char* setting : {"model.moe.capacity_factor_eval=0.3", "model.moe.min_capacity=1"}) {
    words.insert(words.end(), {"--set", setting});
  }
  const ProgramResult tight = run_program(words);
  EXPECT_EQ(tight.exit_code, 0) << tight.err;
  EXPECT_THAT(tight.err, HasSubstr("of the routed tokens had no room in their expert"));
  words = train_command(folder_ / "roomy", "4");
  words.insert(words.end(), {"--set", "model.moe.capacity_factor_eval=4"});
  EXPECT_THAT(run_program(words).err, ::testing::Not(HasSubstr("had no room")));
}

TEST_F(LanguagesProgram, WrongUseIsToldInALine) {
  const auto refused = [&](const std::vector<std::string>& words, const std::string& what) {
    const ProgramResult result = run_program(words);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(what));
  };
  refused({"tokenizer", "train", "--balance", "0.3", "--input", "-", "--vocab-size", "500",
           "--output", folder_ / "spiece.model"},
          "says no language");
  refused({"tokenizer", "train", "--balance", "1.5", "--input", folder_ / "aa.txt", "--vocab-size",
           "500", "--output", folder_ / "spiece.model"},
          "--balance");
  run_well({"tokenizer", "train", "--input", folder_ / "aa.txt", "--vocab-size", "300", "--output",
            folder_ / "spiece.model"});
  auto words = prepare_command();
  words.insert(words.begin() + 3, "-");
  refused(words, "says no language");
  EXPECT_FALSE(fs::exists(folder_ / "data/aa"));
}

}  // namespace
}  // namespace switchyard::testing
