// Runs that are killed and runs whose disk fails, through the real program: each goes on and ends
// in the same files as a run that nothing happened to. Short here; the environment asks for more:
// SWITCHYARD_SOAK_KILLS, SWITCHYARD_SOAK_FAULTS (CONTRIBUTING.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
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

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr int kSteps = 40;

int wanted(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::atoi(text) : otherwise;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Soak : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = std::make_unique<TemporaryFolder>();
    make_tiny_data(*shared_);
    const std::string run = *shared_ / "whole";
    const ProgramResult result = run_program(command(run));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expected_ = end_of(run);
  }
  static void TearDownTestSuite() { shared_.reset(); }

  static std::vector<std::string> command(const std::string& run) {
    return tiny_train_command(
        *shared_, run,
        {format("train.steps={}", kSteps), "train.checkpoint_every=2", "train.keep_checkpoints=2",
         "train.keep_every=10", "train.keep_best=1", "train.evaluate_every=10",
         "train.checkpoint_shard_gb=0.0001"});
  }

  /// Object without what depends on the clock.
  static nlohmann::json timeless(nlohmann::json object) {
    for (const char* key : {"seconds", "wait_seconds", "tokens_per_second", "gemm_share",
                            "loader_share", "peak_memory"}) {
      object.erase(key);
      if (object.contains("window")) object["window"].erase(key);
    }
    return object;
  }

  /// All that a run leaves that does not depend on the clock: lines of metrics, files of all
  /// checkpoints.
  static std::map<std::string, std::string> end_of(const std::string& run) {
    std::map<std::string, std::string> found;
    std::istringstream metrics(read_file(run + "/metrics.jsonl"));
    for (std::string line; std::getline(metrics, line);) {
      const auto object = nlohmann::json::parse(line);
      if (object["kind"] != "event") found["metrics"] += timeless(object).dump() + "\n";
    }
    for (const auto& entry : fs::recursive_directory_iterator(run + "/checkpoints")) {
      if (!entry.is_regular_file()) continue;
      const std::string name = fs::relative(entry.path(), run);
      std::string text = read_file(entry.path());
      if (name.ends_with("state.json")) text = timeless(nlohmann::json::parse(text)).dump();
      if (!name.ends_with("manifest.json")) found[name] = text;
    }
    return found;
  }

  static void expect_same_end(const std::string& run) {
    const auto found = end_of(run);
    ASSERT_EQ(found.size(), expected_.size());
    for (const auto& [name, text] : expected_) {
      EXPECT_TRUE(found.contains(name) && found.at(name) == text) << run << ": " << name;
    }
  }

  /// Step of the newest checkpoint that has a manifest, 0 if there is none.
  static int newest(const std::string& run) {
    int step = 0;
    std::error_code code;
    for (const auto& entry : fs::directory_iterator(run + "/checkpoints", code)) {
      const std::string name = entry.path().filename();
      if (!name.starts_with("step-") || name.ends_with(".tmp")) continue;
      EXPECT_FALSE(name.ends_with(".damaged")) << name;
      EXPECT_TRUE(fs::exists(entry.path() / "training_state/manifest.json")) << name;
      step = std::max(step, std::stoi(name.substr(5)));
    }
    return step;
  }

  /// The last step that metrics.jsonl tells of.
  static int last_step(const std::string& run) {
    int step = 0;
    std::ifstream metrics(run + "/metrics.jsonl");
    for (std::string line; std::getline(metrics, line);) {
      const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (object.is_object()) step = std::max(step, object.value("step", 0));
    }
    return step;
  }

  /// Goes on to the end and compares it.
  static void finish(const std::string& run) {
    const int from = newest(run);
    const ProgramResult result = run_program(command(run));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, ::testing::Not(HasSubstr("checkpoint before it")));
    if (from == kSteps) {
      EXPECT_THAT(result.err, HasSubstr("are done already"));
    } else if (from > 0) {
      EXPECT_THAT(result.err, HasSubstr(format("continuing from step {}\n", from)));
    }
    expect_same_end(run);
  }

  /// Waits until the run has come to a step, at most for a while.
  static void wait_for_step(const std::string& run, int step) {
    const Clock::time_point begin = Clock::now();
    while (last_step(run) < step && seconds_since(begin) < 60) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  static std::unique_ptr<TemporaryFolder> shared_;
  static std::map<std::string, std::string> expected_;
  TemporaryFolder folder_;
};

std::unique_ptr<TemporaryFolder> Soak::shared_;
std::map<std::string, std::string> Soak::expected_;

TEST_F(Soak, KilledAtRandomMoments) {
  const int kills = wanted("SWITCHYARD_SOAK_KILLS", 10);
  constexpr int kKillsOfARun = 5;
  std::mt19937 random(std::random_device{}());
  int done = 0, beaten = 0, runs = 0, lost_steps = 0;
  while (done < kills && !HasFailure()) {
    const std::string run = folder_ / format("run-{}", runs++);
    int saved = 0;
    for (int i = 0; i < kKillsOfARun && done < kills; ++i) {
      Program program(command(run));
      // One in eight is killed at its start, the others at some step and a few milliseconds: a step
      // takes some, a checkpoint some tens.
      const bool at_start = random() % 8 == 0;
      if (!at_start) wait_for_step(run, saved + static_cast<int>(random() % 12));
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % (at_start ? 1000 : 60)));
      program.signal(SIGKILL);
      if (program.wait().exit_code != 128 + SIGKILL) {
        ++beaten;  // it was done before the kill
        break;
      }
      ++done;
      // What was saved once is never lost, and no more than one interval and what is being written.
      EXPECT_GE(newest(run), saved);
      saved = newest(run);
      const auto last = last_step(run);
      EXPECT_LE(last - saved, 2 * 2 + 1) << run;
      lost_steps += last - saved;
    }
    finish(run);
    std::cout << format("{} kills, {} runs, {} ended before a kill\n", done, runs, beaten)
              << std::flush;
    if (!HasFailure()) remove_tree(run);
  }
  std::cout << format(
      "{} kills, {} runs with the end of one that was never killed, {} steps done "
      "again\n",
      done, runs, lost_steps);
}

TEST_F(Soak, AFaultAtAnyFileCallOfTheRun) {
  // By default one of each kind; else every n-th call, n = SWITCHYARD_SOAK_FAULTS.
  const int stride = wanted("SWITCHYARD_SOAK_FAULTS", 0);
  const std::string run = folder_ / "run";
  int cases = 0, ended_well = 0, calls = stride > 0 ? 1 << 20 : 91;
  // The first kind strikes any call: what ends well then lies beyond the last one.
  for (const char* kind :
       {"crash-before", "crash-within", "crash-after", "enospc", "eio", "short"}) {
    for (int at = stride > 0 ? 1 : 90; at < calls && !HasFailure(); at += std::max(stride, 1)) {
      SCOPED_TRACE(format("{}@{}", kind, at));
      remove_tree(run);
      const ProgramResult result =
          run_program(command(run), format("export SWITCHYARD_FILE_FAULT={}@{}", kind, at));
      const bool crashed = result.exit_code == 128 + SIGKILL;
      EXPECT_TRUE(result.exit_code == 0 || result.exit_code == 1 || crashed) << result.err;
      if (result.exit_code == 1) {
        EXPECT_THAT(result.err, HasSubstr("switchyard: error: "));
      }
      if (result.exit_code == 0) {
        expect_same_end(run);
        ++ended_well;
        if (kind == std::string("crash-before")) calls = at;
      }
      finish(run);
      ++cases;
    }
  }
  std::cout << format("{} faults at up to {} calls, {} of them without effect on the run\n", cases,
                      calls, ended_well);
}

}  // namespace
}  // namespace switchyard::testing
