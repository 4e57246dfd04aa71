// Training through the real program: continuing bit for bit, stopping, refusing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/format.h"
#include "tests/integration/program.h"
#include "tests/integration/tiny_run.h"
#include "tests/small_disk.h"

namespace switchyard::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class TrainProgram : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = std::make_unique<TemporaryFolder>();
    make_tiny_data(*shared_);
  }
  static void TearDownTestSuite() { shared_.reset(); }

  static std::string data() { return *shared_ / "data"; }

  static std::vector<std::string> train_command(const std::string& run,
                                                const std::vector<std::string>& settings = {}) {
    return tiny_train_command(*shared_, run, settings);
  }

  /// Lines of metrics without what depends on the clock.
  static std::vector<nlohmann::json> metrics(const std::string& run) {
    std::vector<nlohmann::json> lines;
    std::istringstream text(read_file(run + "/metrics.jsonl"));
    for (std::string line; std::getline(text, line);) {
      nlohmann::json object = nlohmann::json::parse(line);
      if (object["kind"] == "event") continue;
      for (const char* key :
           {"seconds", "tokens_per_second", "gemm_share", "loader_share", "peak_memory"}) {
        object.erase(key);
      }
      lines.push_back(object);
    }
    return lines;
  }

  static std::set<std::string> checkpoints(const std::string& run) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(run + "/checkpoints")) {
      names.insert(entry.path().filename());
    }
    return names;
  }

  void expect_refused(const std::vector<std::string>& settings, const std::string& message) {
    const ProgramResult result = run_program(train_command(folder_ / "refused", settings));
    EXPECT_EQ(result.exit_code, 2) << message;
    EXPECT_THAT(result.err, HasSubstr("switchyard: error: "));
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_FALSE(fs::exists(folder_ / "refused")) << message;
  }

  static std::unique_ptr<TemporaryFolder> shared_;
  TemporaryFolder folder_;
};

std::unique_ptr<TemporaryFolder> TrainProgram::shared_;

TEST_F(TrainProgram, ContinuedRunIsTheSameToTheBit) {
  const std::string whole = folder_ / "whole", parts = folder_ / "parts";
  const ProgramResult one = run_program(train_command(whole, {"train.log_every=3"}));
  ASSERT_EQ(one.exit_code, 0) << one.err;
  EXPECT_EQ(nlohmann::json::parse(one.out)["finished"], true);
  for (const int steps : {5, 7, 12}) {
    const ProgramResult part =
        run_program(train_command(parts, {"train.log_every=3", format("train.steps={}", steps)}));
    ASSERT_EQ(part.exit_code, 0) << part.err;
  }
  // Where a part ended there are lines that the whole run lacks.
  const auto expected = metrics(whole);
  auto found = metrics(parts);
  std::erase_if(found,
                [](const nlohmann::json& line) { return line["step"] == 5 || line["step"] == 7; });
  EXPECT_EQ(found, expected);
  EXPECT_EQ(expected.size(), 4u + 3u);
}

TEST_F(TrainProgram, KilledRunContinuesToTheBit) {
  const std::string killed = folder_ / "killed", whole = folder_ / "whole";
  {
    Program program(train_command(killed, {"train.steps=100000"}));
    ASSERT_TRUE(wait_for(killed + "/checkpoints/step-00000010"));
    program.signal(SIGKILL);
    EXPECT_EQ(program.wait().exit_code, 128 + SIGKILL);
  }
  int last = 0;
  for (const std::string& name : checkpoints(killed)) {
    if (name.starts_with("step-")) last = std::max(last, std::stoi(name.substr(5)));
  }
  const std::string steps = format("train.steps={}", last + 6);
  ASSERT_EQ(run_program(train_command(killed, {steps})).exit_code, 0);
  ASSERT_EQ(run_program(train_command(whole, {steps})).exit_code, 0);
  EXPECT_EQ(metrics(killed), metrics(whole));
}

TEST_F(TrainProgram, SignalSavesAndEndsWith128PlusIt) {
  for (const int signal_number : {SIGTERM, SIGINT}) {
    const std::string run = folder_ / format("run-{}", signal_number);
    Program program(train_command(run, {"train.steps=100000", "train.checkpoint_every=0"}));
    ASSERT_TRUE(wait_for(run + "/metrics.jsonl"));
    const ProgramResult second = run_program(train_command(run, {"train.steps=100000"}));
    EXPECT_EQ(second.exit_code, 2);
    EXPECT_THAT(second.err, HasSubstr("another process trains"));
    program.signal(signal_number);
    const ProgramResult result = program.wait();
    EXPECT_EQ(result.exit_code, 128 + signal_number) << result.err;
    const auto summary = nlohmann::json::parse(result.out);
    EXPECT_EQ(summary["finished"], false);
    EXPECT_EQ(checkpoints(run).count(format("step-{:08}", summary["step"].get<int>())), 1u);
  }
}

// In the middle of a step that takes far longer than anyone waits.
TEST_F(TrainProgram, SecondSignalEndsAtOnce) {
  const std::string run = folder_ / "run";
  for (const auto& [first, second] : {std::pair{SIGINT, SIGINT}, {SIGTERM, SIGINT}}) {
    Program program(train_command(run, {"train.batch_sequences=400000"}));
    ASSERT_TRUE(wait_for(run + "/metrics.jsonl"));
    ::usleep(300000);
    program.signal(first);
    ::usleep(200000);
    const auto start = std::chrono::steady_clock::now();
    program.signal(second);
    // Threads may take the two in either order.
    EXPECT_THAT(program.wait().exit_code, AnyOf(128 + first, 128 + second));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
    EXPECT_TRUE(checkpoints(run).empty());
  }
}

// The lock is the process's: who holds it may die without a word.
TEST_F(TrainProgram, LockOfAKilledProcessIsFree) {
  const std::string run = folder_ / "run";
  Program program(train_command(run, {"train.steps=100000", "train.checkpoint_every=0"}));
  ASSERT_TRUE(wait_for(run + "/metrics.jsonl"));
  EXPECT_EQ(run_program(train_command(run)).exit_code, 2);
  program.signal(SIGKILL);
  EXPECT_EQ(program.wait().exit_code, 128 + SIGKILL);
  const ProgramResult next = run_program(train_command(run, {"train.steps=2"}));
  EXPECT_EQ(next.exit_code, 0) << next.err;
}

TEST_F(TrainProgram, TimeLimitSavesBeforeItAndEndsWell) {
  const std::string run = folder_ / "run";
  const ProgramResult result =
      run_program(train_command(run, {"train.steps=100000", "train.max_minutes=0.1"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto summary = nlohmann::json::parse(result.out);
  EXPECT_EQ(summary["finished"], false);
  const std::string saved =
      summary["checkpoint"].get<std::string>() + "/training_state/manifest.json";
  ASSERT_TRUE(fs::exists(saved));
  // From the first file of the run to the last of the checkpoint: how long the program takes to
  // start and to end does not count.
  EXPECT_LT(fs::last_write_time(saved) - fs::last_write_time(run + "/recipe.toml"),
            std::chrono::milliseconds(6500));
}

TEST_F(TrainProgram, EvalAgreesWithTheLastEvaluation) {
  const std::string run = folder_ / "run";
  ASSERT_EQ(run_program(train_command(run, {"train.keep_checkpoints=1"})).exit_code, 0);
  EXPECT_EQ(checkpoints(run), std::set<std::string>{"step-00000012"});
  const double expected = metrics(run).back()["nlp"].get<double>();
  for (const std::string& model : {run, run + "/checkpoints/step-00000012"}) {
    const ProgramResult result =
        run_program({"eval", "--model", model, "--data", data() + "/validation", "--sequences", "8",
                     "--precision", "fp32", "--json", "--threads", "2"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_DOUBLE_EQ(nlohmann::json::parse(result.out)["nlp"].get<double>(), expected);
  }
  const ProgramResult none = run_program({"eval", "--model", folder_ / "none", "--data", data()});
  EXPECT_EQ(none.exit_code, 2);
}

TEST_F(TrainProgram, AnotherRunIsRefused) {
  const std::string run = folder_ / "run";
  ASSERT_EQ(run_program(train_command(run, {"train.steps=2"})).exit_code, 0);
  const std::string metrics_before = read_file(run + "/metrics.jsonl");
  const ProgramResult other =
      run_program(train_command(run, {"train.seed=2", "model.moe.num_experts=8"}));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("holds another run"));
  EXPECT_THAT(other.err, HasSubstr("model.moe.num_experts = 8 (there 4)"));
  EXPECT_THAT(other.err, HasSubstr("train.seed = 2 (there 1)"));
  EXPECT_EQ(read_file(run + "/metrics.jsonl"), metrics_before);

  write_file(folder_ / "thesis.txt", "words");
  const ProgramResult no_run = run_program(train_command(folder_.path()));
  EXPECT_EQ(no_run.exit_code, 2);
  EXPECT_THAT(no_run.err, HasSubstr("holds no run"));
}

TEST_F(TrainProgram, AllowedChangesAreTold) {
  const std::string run = folder_ / "run";
  ASSERT_EQ(run_program(train_command(run, {"train.steps=2"})).exit_code, 0);
  const ProgramResult next = run_program(
      train_command(run, {"train.steps=4", "optimizer.learning_rate=0.002", "train.log_every=2"}));
  ASSERT_EQ(next.exit_code, 0) << next.err;
  EXPECT_THAT(next.err, HasSubstr("optimizer.learning_rate = 0.002 from step 3 on (was 0.01)"));
  EXPECT_EQ(next.err.find("log_every"), std::string::npos);
  const ProgramResult again = run_program(
      train_command(run, {"train.steps=6", "optimizer.learning_rate=0.002", "train.log_every=2"}));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(again.err.find("(was"), std::string::npos);
}

// A flipped bit that no size gives away.
TEST_F(TrainProgram, DamagedDataIsNamedOrLeftOut) {
  // Several pieces of 64 KiB.
  std::string text;
  for (int i = 0; i < 12; ++i) text += read_file(*shared_ / "text.txt");
  write_file(folder_ / "text.txt", text);
  ASSERT_EQ(run_program({"prepare", "--input", folder_ / "text.txt", "--tokenizer",
                         *shared_ / "spiece.model", "--output", folder_ / "data",
                         "--validation-share", "0"})
                .exit_code,
            0);
  const std::string shard = folder_ / "data/train/shard-00000.tokens";
  std::string bytes = read_file(shard);
  ASSERT_GT(bytes.size(), size_t{3} << 16);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file(shard, bytes);
  const std::string train = "data.train=" + (folder_ / "data/train");
  const ProgramResult stopped = run_program(train_command(folder_ / "stop", {train}));
  EXPECT_EQ(stopped.exit_code, 3);
  EXPECT_THAT(stopped.err, HasSubstr("switchyard: error: wrong checksum; " + shard + ", bytes "));
  const std::string whole = folder_ / "whole", parts = folder_ / "parts";
  const ProgramResult skipped = run_program(train_command(whole, {train, "data.on_damage=skip"}));
  ASSERT_EQ(skipped.exit_code, 0) << skipped.err;
  EXPECT_THAT(skipped.err, HasSubstr("wrong checksum; " + shard));
  EXPECT_THAT(read_file(whole + "/metrics.jsonl"), HasSubstr("\"damaged_pieces\":1"));
  for (const char* steps : {"train.steps=5", "train.steps=12"}) {
    ASSERT_EQ(run_program(train_command(parts, {train, "data.on_damage=skip", steps})).exit_code,
              0);
  }
  auto found = metrics(parts);
  std::erase_if(found, [](const nlohmann::json& line) {
    return line["step"] == 5 && line["kind"] == "eval";
  });
  EXPECT_EQ(found, metrics(whole));
}

TEST_F(TrainProgram, MistakesAreOneLineAndLeaveNothing) {
  expect_refused({"train.step=3"}, "did you mean 'train.steps'");
  expect_refused({"train.steps=soon"}, "train.steps has the wrong type");
  expect_refused({"train.steps=0"}, "train.steps = 0 is out of range");
  expect_refused({"model.moe.group_sequences=3"}, "model.moe.group_sequences = 3");
  expect_refused({"model.vocab_size=200"}, "model.vocab_size = 200");
  expect_refused({"data.train=/nowhere"}, "/nowhere");
  expect_refused({"data.validation=/nowhere"}, "/nowhere");
  expect_refused({"data.input_length=4"}, "data.input_length");
  expect_refused({"objective.kind=distill"}, "objective.kind");
  expect_refused({"mesh.data=2"}, "mesh");
  const ProgramResult missing =
      run_program({"train", "--recipe", folder_ / "none.toml", "--run-dir", folder_ / "run"});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.err, HasSubstr("none.toml"));
  EXPECT_EQ(std::count(missing.err.begin(), missing.err.end(), '\n'), 1);
}

TEST_F(TrainProgram, FullDiskLeavesNoHalfCheckpoint) {
  const std::string run = folder_ / "run";
  ASSERT_EQ(run_program(train_command(run, {"train.steps=5"})).exit_code, 0);
  // 512-byte blocks: enough for metrics, too little for weights.
  const ProgramResult full = run_program(train_command(run), "ulimit -f 100");
  EXPECT_EQ(full.exit_code, 1) << full.err;
  EXPECT_THAT(full.err, HasSubstr("switchyard: error: "));
  std::set<std::string> complete = checkpoints(run);
  EXPECT_EQ(complete.count("step-00000005"), 1u);
  EXPECT_EQ(complete.count("step-00000010"), 0u);
  ASSERT_EQ(run_program(train_command(run)).exit_code, 0);
  EXPECT_EQ(checkpoints(run),
            (std::set<std::string>{"step-00000005", "step-00000010", "step-00000012"}));
}

TEST_F(TrainProgram, ADiskThatFillsUpLeavesEarlierCheckpoints) {
  const SmallDisk disk(folder_.path(), 64 * 1024);
  if (!disk.mounted()) GTEST_SKIP() << "this process may not mount a disk";
  const std::string run = folder_ / "run";
  // A checkpoint of 28 MB, all of them kept.
  const std::vector<std::string> settings = {"model.vocab_size=110000", "train.steps=20",
                                             "train.checkpoint_every=2", "train.keep_checkpoints=0",
                                             "train.evaluate_every=0"};
  const ProgramResult full = run_program(train_command(run, settings));
  EXPECT_EQ(full.exit_code, 1) << full.err;
  const size_t error = full.err.find("switchyard: error: ");
  ASSERT_NE(error, std::string::npos);
  EXPECT_THAT(full.err.substr(error), HasSubstr("No space left on device"));
  EXPECT_EQ(std::count(full.err.begin() + static_cast<std::ptrdiff_t>(error), full.err.end(), '\n'),
            1);
  const std::set<std::string> complete = checkpoints(run);
  EXPECT_GE(complete.size(), 2u);
  for (const std::string& name : complete) EXPECT_FALSE(name.ends_with(".tmp")) << name;
  const ProgramResult sound = run_program({"inspect", run, "--verify"});
  EXPECT_EQ(sound.exit_code, 0) << sound.err;
  // With fewer of them kept the run goes on where it was.
  auto fewer = settings;
  fewer[3] = "train.keep_checkpoints=1";
  const ProgramResult on = run_program(train_command(run, fewer));
  EXPECT_EQ(on.exit_code, 0) << on.err;
  EXPECT_THAT(on.err, HasSubstr("continuing from step " + std::to_string(2 * complete.size())));
}

TEST_F(TrainProgram, DamagedCheckpointIsPassedOver) {
  const std::string run = folder_ / "run", whole = folder_ / "whole";
  ASSERT_EQ(run_program(train_command(run, {"train.steps=10"})).exit_code, 0);
  ASSERT_EQ(run_program(train_command(whole)).exit_code, 0);
  const std::string newest = run + "/checkpoints/step-00000010";
  std::string weights = read_file(newest + "/model.safetensors");
  weights[weights.size() - 100] = static_cast<char>(weights[weights.size() - 100] ^ 4);
  write_file(newest + "/model.safetensors", weights);

  const ProgramResult bad = run_program({"inspect", run, "--verify"});
  EXPECT_EQ(bad.exit_code, 3);
  EXPECT_THAT(bad.err, HasSubstr("model.safetensors"));
  const std::vector<std::string> eval = {"--data", data() + "/validation", "--sequences", "4"};
  std::vector<std::string> words = {"eval", "--model", newest};
  words.insert(words.end(), eval.begin(), eval.end());
  EXPECT_EQ(run_program(words).exit_code, 3);
  words[2] = run;
  const ProgramResult older = run_program(words);
  EXPECT_EQ(older.exit_code, 0) << older.err;
  EXPECT_THAT(older.err, HasSubstr(newest + "/model.safetensors"));

  const ProgramResult again = run_program(train_command(run));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr(newest + "/model.safetensors"));
  EXPECT_THAT(again.err, HasSubstr("continuing from step 5"));
  EXPECT_EQ(metrics(run), metrics(whole));
  EXPECT_EQ(checkpoints(run).count("step-00000010.damaged"), 1u);
}

TEST_F(TrainProgram, InspectTellsWhatIsThere) {
  const std::string run = folder_ / "run";
  ASSERT_EQ(run_program(train_command(run, {"train.steps=6"})).exit_code, 0);
  const auto report = [](const std::string& path) {
    const ProgramResult result = run_program({"inspect", path, "--verify", "--json"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(result.out);
  };
  const auto of_run = report(run);
  EXPECT_EQ(of_run["kind"], "run");
  EXPECT_EQ(of_run["checkpoints"], (std::vector<int>{5, 6}));
  EXPECT_EQ(of_run["newest"]["step"], 6);
  EXPECT_EQ(of_run["newest"]["experts"], 4);
  const auto of_checkpoint = report(run + "/checkpoints/step-00000005");
  EXPECT_EQ(of_checkpoint["kind"], "checkpoint");
  EXPECT_EQ(of_checkpoint["verified"], "all checksums, all weights finite");
  EXPECT_EQ(report(data() + "/train")["split"], "train");
  EXPECT_EQ(report(data())["validation"]["split"], "validation");
  EXPECT_THAT(run_program({"inspect", run}).out, HasSubstr("parameters"));
  EXPECT_EQ(run_program({"inspect", folder_ / "none"}).exit_code, 2);
  EXPECT_EQ(run_program({"inspect", folder_.path()}).exit_code, 2);
}

TEST_F(TrainProgram, RunDirectoryThatCannotBeMade) {
  write_file(folder_ / "file", "");
  const ProgramResult result = run_program(train_command(folder_ / "file/run"));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("file/run"));
}

TEST_F(TrainProgram, PrintedRecipeReadsBack) {
  const ProgramResult printed = run_program({"train", "--print-recipe"});
  ASSERT_EQ(printed.exit_code, 0);
  EXPECT_THAT(printed.out, HasSubstr("num_experts = 8"));
  EXPECT_THAT(printed.out, HasSubstr("# "));
  write_file(folder_ / "recipe.toml", printed.out);
  const ProgramResult again =
      run_program({"train", "--print-recipe", "--recipe", folder_ / "recipe.toml"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(again.out, printed.out);
}

}  // namespace
}  // namespace switchyard::testing
