// A dense run with experts added, through the real program: looked at, evaluated, decoded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "tests/integration/program.h"
#include "tests/integration/tiny_run.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class UpcycleProgram : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = std::make_unique<TemporaryFolder>();
    make_tiny_data(*shared_);
    const ProgramResult trained = run_program(
        tiny_train_command(*shared_, run(),
                           {"train.steps=40", "train.evaluate_every=0", "train.checkpoint_every=0",
                            "model.moe.num_experts=0", "model.dropout=0"},
                           "1"));
    ASSERT_EQ(trained.exit_code, 0) << trained.err;
  }
  static void TearDownTestSuite() { shared_.reset(); }

  static std::string run() { return *shared_ / "run"; }

  static std::string output_of(std::vector<std::string> words) {
    words.insert(words.end(), {"--threads", "1"});
    const ProgramResult result = run_program(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }

  /// Evaluated in float32 through the model or the engine of `generate`.
  static double nlp_of(const std::string& model, bool engine) {
    std::vector<std::string> words = {
        "eval", "--model",        model, "--data", *shared_ / "data/validation", "--precision",
        "fp32", "--input-length", "32",  "--json"};
    if (engine) words.push_back("--engine");
    return Json::parse(output_of(words))["nlp"];
  }

  std::vector<std::string> upcycle_command(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {"upcycle",  "--model",          run(),   "--num-experts", "4",
                                      "--output", folder_ / "sparse", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  static std::unique_ptr<TemporaryFolder> shared_;
  TemporaryFolder folder_;
};

std::unique_ptr<TemporaryFolder> UpcycleProgram::shared_;

TEST_F(UpcycleProgram, StartsWhereTheDenseModelIs) {
  for (const char* router : {"router=switch", "router=top2"}) {
    fs::remove_all(folder_ / "sparse");
    const Json result =
        Json::parse(output_of(upcycle_command({"--set", router, "--set", "second_choice=all"})));
    EXPECT_LT(result["largest_logit_difference"], 1e-3);
    EXPECT_GT(result["parameters_after"], result["parameters_before"]);
    for (const bool engine : {false, true}) {
      EXPECT_NEAR(nlp_of(folder_ / "sparse", engine), nlp_of(run(), engine), 1e-4)
          << router << " " << engine;
    }
  }
}

TEST_F(UpcycleProgram, SaysHowFarProbabilitiesAsGatesAreAway) {
  const Json plain = Json::parse(output_of(upcycle_command({"--gate", "probability"})));
  EXPECT_GT(plain["largest_logit_difference"], 1e-2);
  const Json report = Json::parse(output_of({"inspect", folder_ / "sparse", "--verify", "--json"}));
  EXPECT_EQ(report["transformers_can_load"], true);
  fs::remove_all(folder_ / "sparse");
  const Json scaled =
      Json::parse(output_of(upcycle_command({"--gate", "probability", "--output-scale", "4"})));
  EXPECT_LT(scaled["largest_logit_difference"], plain["largest_logit_difference"]);
}

TEST_F(UpcycleProgram, DecodesAsTheDenseModel) {
  output_of(upcycle_command());
  const auto ids = [&](const std::string& model) {
    return output_of({"generate", "--model", model, "--text", "bado <extra_id_0> kilu.",
                      "--max-new-tokens", "8", "--precision", "fp32"});
  };
  EXPECT_EQ(ids(folder_ / "sparse"), ids(run()));
}

TEST_F(UpcycleProgram, WrongUseIsToldInALine) {
  const auto refused = [&](const std::vector<std::string>& words, int exit_code,
                           const std::string& what) {
    const ProgramResult result = run_program(words);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(what));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_FALSE(fs::exists(folder_ / "sparse"));
  };
  refused(upcycle_command({"--set", "num_expert=3"}), 2, "num_experts");
  refused(upcycle_command({"--sparse-every", "7"}), 2, "no block is routed");
  refused(upcycle_command({"--set", "profile=hf"}), 2, "gate");
  fs::copy(run(), folder_ / "run", fs::copy_options::recursive);
  const std::string weights = folder_ / "run/checkpoints/step-00000040/model.safetensors";
  write_file(weights, read_file(weights).substr(0, 1000));
  std::vector<std::string> words = upcycle_command();
  words[2] = folder_ / "run/checkpoints/step-00000040";
  refused(words, 3, "model.safetensors");
}

}  // namespace
}  // namespace switchyard::testing
