// Fine-tuning and distillation through the real program, with the recipes that come with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/format.h"
#include "tests/integration/program.h"
#include "tests/integration/tiny_run.h"

namespace switchyard::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class FinetuneProgram : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = std::make_unique<TemporaryFolder>();
    make_tiny_data(*shared_);
    const ProgramResult start = run_program(tiny_train_command(*shared_, *shared_ / "start"));
    ASSERT_EQ(start.exit_code, 0) << start.err;
    shared_->put("train.jsonl", lines(60));
    shared_->put("dev.jsonl", lines(12));
  }
  static void TearDownTestSuite() { shared_.reset(); }

  static std::string lines(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      text +=
          format("{{\"question\": \"is it {}\", \"passage\": \"mino bata {}.\", \"label\": {}}}\n",
                 i, i % 7, i % 2 ? "true" : "false");
    }
    return text;
  }

  static std::vector<std::string> command(const std::string& recipe, const std::string& run,
                                          const std::vector<std::string>& settings) {
    std::vector<std::string> words = {
        "train",
        "--recipe",
        format("{}/recipes/finetuning/{}.toml", SWITCHYARD_SOURCE_DIR, recipe),
        "--run-dir",
        run,
        "--json",
        "--threads",
        "2"};
    std::vector<std::string> all = {
        "train.batch_sequences=4",  "train.steps=30",        "train.evaluate_every=10",
        "train.checkpoint_every=2", "train.log_every=5",     "train.precision=fp32",
        "data.input_length=96",     "data.target_length=24", "optimizer.learning_rate=0.02"};
    all.insert(all.end(), settings.begin(), settings.end());
    for (const std::string& setting : all) {
      words.push_back("--set");
      words.push_back(setting);
    }
    return words;
  }
  static std::vector<std::string> finetune(const std::string& run,
                                           const std::vector<std::string>& settings = {}) {
    std::vector<std::string> all = {"train.start_from=" + (*shared_ / "start"),
                                    "tasks.boolq.train=" + (*shared_ / "train.jsonl"),
                                    "tasks.boolq.validation=" + (*shared_ / "dev.jsonl")};
    all.insert(all.end(), settings.begin(), settings.end());
    return command("finetune", run, all);
  }

  /// All that a run leaves that does not depend on the clock.
  static std::map<std::string, std::string> end_of(const std::string& run) {
    std::map<std::string, std::string> found;
    std::istringstream metrics(read_file(run + "/metrics.jsonl"));
    for (std::string line; std::getline(metrics, line);) {
      json object = json::parse(line);
      if (object["kind"] == "eval") found["eval"] += object["tasks"].dump() + "\n";
    }
    for (const char* folder : {"/checkpoints", "/predictions"}) {
      for (const auto& entry : fs::recursive_directory_iterator(run + folder)) {
        const std::string name = fs::relative(entry.path(), run);
        if (!entry.is_regular_file() || name.ends_with("manifest.json")) continue;
        if (!name.ends_with("state.json")) found[name] = read_file(entry.path());
      }
    }
    return found;
  }

  static std::unique_ptr<TemporaryFolder> shared_;
  TemporaryFolder folder_;
};

std::unique_ptr<TemporaryFolder> FinetuneProgram::shared_;

TEST_F(FinetuneProgram, GoesOnToTheSameFilesAfterKills) {
  const std::string whole = folder_ / "whole", killed = folder_ / "killed";
  const ProgramResult once = run_program(finetune(whole));
  ASSERT_EQ(once.exit_code, 0) << once.err;
  std::mt19937 random(std::random_device{}());
  int kills = 0;
  for (int i = 0; i < 4; ++i) {
    Program program(finetune(killed));
    wait_for(killed + "/metrics.jsonl");
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 900));
    program.signal(SIGKILL);
    kills += program.wait().exit_code == 128 + SIGKILL;
  }
  const ProgramResult rest = run_program(finetune(killed));
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  const auto expected = end_of(whole), found = end_of(killed);
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, text] : expected) {
    EXPECT_TRUE(found.contains(name) && found.at(name) == text) << name << " after " << kills;
  }
}

TEST_F(FinetuneProgram, EvaluatesAsTheRunDid) {
  const std::string run = folder_ / "run";
  const ProgramResult trained = run_program(finetune(run));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_THAT(trained.err, HasSubstr("task boolq: 60 examples to train on"));
  std::istringstream metrics(read_file(run + "/metrics.jsonl"));
  json last;
  for (std::string line; std::getline(metrics, line);) {
    const json object = json::parse(line);
    if (object["kind"] == "eval") last = object;
  }
  const std::string answers = run + "/predictions/step-00000030/boolq.jsonl";
  const ProgramResult eval = run_program({"eval", "--model", run + "/checkpoints/step-00000030",
                                          "--task", "boolq", "--input", *shared_ / "dev.jsonl",
                                          "--predictions", folder_ / "answers.jsonl", "--json"});
  ASSERT_EQ(eval.exit_code, 0) << eval.err;
  EXPECT_EQ(json::parse(eval.out)["metrics"]["accuracy"], last["tasks"]["boolq"]["accuracy"]);
  EXPECT_EQ(read_file(folder_ / "answers.jsonl"), read_file(answers));
  const ProgramResult score =
      run_program({"task", "score", "--metric", "accuracy", "--input", answers, "--json"});
  EXPECT_EQ(json::parse(score.out)["metrics"]["accuracy"]["accuracy"],
            last["tasks"]["boolq"]["accuracy"])
      << score.err;
}

TEST_F(FinetuneProgram, MistakesEndInOneLine) {
  const auto failure = [&](const std::vector<std::string>& words) {
    const ProgramResult result = run_program(words);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    return result.err;
  };
  const std::string run = folder_ / "run";
  shared_->put("broken.jsonl", lines(2) + "{\"question\": \"q\", \"label\": true}\n");
  EXPECT_THAT(failure(finetune(run, {"tasks.boolq.train=" + (*shared_ / "broken.jsonl")})),
              HasSubstr("broken.jsonl:3"));
  EXPECT_THAT(failure(finetune(run, {"tasks.boolk.train=" + (*shared_ / "train.jsonl")})),
              HasSubstr("boolq"));
  EXPECT_THAT(failure(finetune(run, {"train.start_from=" + (folder_ / "nowhere")})),
              HasSubstr("nowhere"));
  EXPECT_THAT(failure({"eval", "--model", *shared_ / "start", "--task", "boolq"}),
              HasSubstr("--task and --input belong together"));
  EXPECT_THAT(failure({"eval", "--model", *shared_ / "start"}),
              HasSubstr("nothing to evaluate on"));
}

TEST_F(FinetuneProgram, DistilsARunIntoADenseModel) {
  const std::string run = folder_ / "student";
  const ProgramResult result =
      run_program(command("distill", run,
                          {"objective.teacher=" + (*shared_ / "start"), "data.input_length=32",
                           "data.target_length=0", "data.train=" + (*shared_ / "data/train"),
                           "data.validation=" + (*shared_ / "data/validation"), "train.steps=6"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const ProgramResult inspected = run_program({"inspect", run, "--json"});
  EXPECT_EQ(json::parse(inspected.out)["newest"]["experts"], 0) << inspected.out;
}

}  // namespace
}  // namespace switchyard::testing
