// score and inspect through the real program, on directories that transformers wrote.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/format.h"
#include "tests/integration/program.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kModels = SWITCHYARD_SOURCE_DIR "/tests/golden/data/";

class ModelProgram : public ::testing::Test {
 protected:
  ProgramResult score(const std::string& lines, std::vector<std::string> more = {}) const {
    write_file(folder_ / "in.jsonl", lines);
    std::vector<std::string> words = {"score", "--model", kModels + "switch_every_second",
                                      "--input", folder_ / "in.jsonl"};
    words.insert(words.end(), more.begin(), more.end());
    return run_program(words);
  }

  void expect_refused(const std::string& line, const std::string& what) const {
    const ProgramResult result =
        score("{\"input_ids\":[4,1],\"target_ids\":[5,1]}\n" + line + "\n");
    EXPECT_EQ(result.exit_code, 2) << line;
    EXPECT_THAT(result.err, HasSubstr(what));
    EXPECT_THAT(result.err, HasSubstr("in.jsonl:2"));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
  }

  /// A copy of a model in the test's folder.
  std::string copy(const std::string& name) const {
    const std::string path = folder_ / name;
    fs::remove_all(path);
    fs::copy(kModels + name, path);
    return path;
  }

  TemporaryFolder folder_;
};

TEST_F(ModelProgram, ScoreKeepsLinesAndKeys) {
  std::string lines;
  for (int n = 0; n < 9; ++n) {
    nlohmann::json line = {{"n", n}, {"note", "kept"}, {"input_ids", {3 + n}}, {"target_ids", {4}}};
    for (int more = 0; more < n * 7 % 5; ++more) {
      line["input_ids"].push_back(10 + more);
      line["target_ids"].push_back(20 + more);
    }
    lines += line.dump() + "\n" + (n == 4 ? "\n" : "");
  }
  const ProgramResult single = score(lines, {"--batch-size", "1"});
  ASSERT_EQ(single.exit_code, 0) << single.err;
  const ProgramResult batched = score(lines, {"--output", folder_ / "out.jsonl"});
  ASSERT_EQ(batched.exit_code, 0) << batched.err;
  EXPECT_EQ(batched.out, "");
  std::istringstream one(single.out), many(read_file(folder_ / "out.jsonl"));
  int n = 0;
  for (std::string a, b; std::getline(one, a) && std::getline(many, b); ++n) {
    const auto left = nlohmann::json::parse(a), right = nlohmann::json::parse(b);
    EXPECT_EQ(left["n"], n);
    EXPECT_EQ(right["note"], "kept");
    EXPECT_EQ(left["num_tokens"], left["target_ids"].size());
    EXPECT_NEAR(left["log_prob"].get<double>(), right["log_prob"].get<double>(), 1e-4);
  }
  EXPECT_EQ(n, 9);
}

TEST_F(ModelProgram, ScoreNamesFileAndLineOfMistakes) {
  expect_refused("{", "not valid JSON");
  expect_refused("[1]", "not a JSON object");
  expect_refused("{\"input_ids\":[4]}", "no target_ids and no text under target");
  expect_refused("{\"input_ids\":[],\"target_ids\":[5]}", "input_ids is empty");
  expect_refused("{\"input_ids\":[4,0],\"target_ids\":[5]}", "padding");
  expect_refused("{\"input_ids\":[4],\"target_ids\":[67]}",
                 "id 67 in target is beyond the model's 67");
  expect_refused("{\"input_ids\":[4],\"target_ids\":[1.5]}", "no id");
  expect_refused("{\"input_ids\":\"4\",\"target_ids\":[5]}", "input_ids is not a list");
  expect_refused("{\"input\":\"text\",\"target_ids\":[5]}", "no spiece.model");
  EXPECT_EQ(run_program({"score", "--model", kModels, "--input", "x"}).exit_code, 2);
}

TEST_F(ModelProgram, InspectReadsWhatTransformersWrote) {
  const ProgramResult result =
      run_program({"inspect", kModels + "switch_uneven", "--verify", "--tensors", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = nlohmann::json::parse(result.out);
  EXPECT_EQ(report["kind"], "model");
  EXPECT_EQ(report["experts"], 4);
  EXPECT_EQ(report["profile"], "hf");
  EXPECT_EQ(report["routed_encoder_blocks"], (std::vector<int>{1}));
  EXPECT_EQ(report["routed_decoder_blocks"], (std::vector<int>{0, 1}));
  EXPECT_EQ(report["tensors"].size(), report["stored_tensors"].get<size_t>());
}

TEST_F(ModelProgram, DamagedDirectoriesEndInOneLine) {
  const auto expect_exit = [](const std::string& model, int exit_code, const std::string& what) {
    for (const char* command : {"inspect", "score"}) {
      std::vector<std::string> words = {command, model, "--verify"};
      if (words[0] == "score") words = {"score", "--model", model, "--input", "/dev/null"};
      const ProgramResult result = run_program(words);
      EXPECT_EQ(result.exit_code, exit_code) << command << " " << what;
      EXPECT_THAT(result.err, HasSubstr(what));
      EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    }
  };
  const std::string model = copy("switch_every_second");
  const std::string weights = read_file(model + "/model.safetensors");
  write_file(model + "/model.safetensors", weights.substr(0, weights.size() - 1));
  expect_exit(model, 3, "reach beyond");
  write_file(model + "/model.safetensors", "");
  expect_exit(model, 3, "too few");
  fs::remove(model + "/model.safetensors");
  expect_exit(model, 2, "no model.safetensors");
  write_file(model + "/model.safetensors.index.json",
             R"({"weight_map": {"shared.weight": "../../x.safetensors"}})");
  expect_exit(model, 3, "a shard must be");
  write_file(model + "/model.safetensors.index.json",
             R"({"weight_map": {"shared.weight": "a.safetensors"}})");
  fs::create_symlink("b.safetensors", model + "/a.safetensors");
  fs::create_symlink("a.safetensors", model + "/b.safetensors");
  expect_exit(model, 3, "the shard a.safetensors is missing");
  fs::remove(model + "/model.safetensors.index.json");
  std::string not_a_number = weights;
  not_a_number.replace(weights.size() - 4, 4, std::string("\0\0\xC0\x7F", 4));
  write_file(model + "/model.safetensors", not_a_number);
  expect_exit(model, 3, "weights that are NaN or infinite: shared.weight");
  write_file(model + "/model.safetensors", weights);
  std::string config = read_file(model + "/config.json");
  config.replace(config.find("\"num_experts\": 4"), 16, "\"num_experts\": 0");
  write_file(model + "/config.json", config);
  expect_exit(model, 2, "num_experts = 0 is out of range");
}

}  // namespace
}  // namespace switchyard::testing
