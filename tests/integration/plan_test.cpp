// `switchyard plan`: the paper's largest model, refusals, files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "tests/integration/program.h"
#include "tests/temporary_folder.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;

std::string recipe(const std::string& name) {
  return std::string(SWITCHYARD_SOURCE_DIR) + "/recipes/" + name + ".toml";
}

TEST(PlanProgram, SwitchCOn2048Ranks) {
  const TemporaryFolder folder;
  const ProgramResult result =
      run_program({"plan", "--recipe", recipe("switch_c_2048"), "--mesh", "expert=2048",
                   "--machine", "tpu_v3_core", "--simulate", "3", "--straggling", "0.05", "--skew",
                   "0.3", "--mtbf-hours", "50000", "--timeline", folder / "step.html", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["parameters"], 1571375798688);
  EXPECT_NEAR(json["sequence_flops"].get<double>(), 894e9, 1e9);
  // An expert of every layer is a 2048th of all experts.
  EXPECT_EQ(json["memory"]["expert weights, float32"], 4.0 * 30 * 2 * 2080 * 6144);
  EXPECT_EQ(json["simulation"]["ranks"], 2048);
  EXPECT_GT(json["simulation"]["step_seconds"], json["step_seconds"]);
  EXPECT_GT(json["failures"]["checkpoint_every"], 1);
  EXPECT_THAT(read_file(folder / "step.html"), HasSubstr("1571375798688 parameters on 2048 ranks"));
}

TEST(PlanProgram, AMeshThatDoesNotDivideIsRefused) {
  const auto complaint = [](const std::string& mesh) {
    const ProgramResult result = run_program(
        {"plan", "--recipe", recipe("switch_base_128"), "--mesh", mesh, "--machine", "h100"});
    EXPECT_EQ(result.exit_code, 2);
    return result.err;
  };
  EXPECT_THAT(complaint("expert=256"), HasSubstr("num_experts = 128 cannot be split over expert = "
                                                 "256 ranks"));
  EXPECT_THAT(complaint("data=3"), HasSubstr("batch_sequences = 2048 cannot be split over data x "
                                             "expert = 3 ranks"));
  EXPECT_THAT(complaint("model=5"), HasSubstr("num_heads = 12 cannot be split over model = 5"));
  EXPECT_THAT(complaint("depth=2"), HasSubstr("names no axis of the mesh"));
}

TEST(PlanProgram, SearchKeepsTheLimit) {
  const auto search = [](const std::string& limit) {
    return run_program({"plan", "--recipe", recipe("switch_base_128"), "--mesh", "expert=16",
                        "--machine", "h100", "--search", "--memory-limit", limit, "--json"});
  };
  const ProgramResult found = search("16G");
  ASSERT_EQ(found.exit_code, 0) << found.err;
  const nlohmann::json json = nlohmann::json::parse(found.out);
  ASSERT_FALSE(json["fitting"].empty());
  for (const auto& mesh : json["fitting"]) EXPECT_LE(mesh["peak_memory"], double{1ull << 34});
  EXPECT_EQ(search("2M").exit_code, 1);
}

TEST(PlanProgram, ChromeTraceIsJson) {
  const TemporaryFolder folder;
  const ProgramResult result =
      run_program({"plan", "--recipe", recipe("quickstart"), "--machine", "cpu_cluster", "--mesh",
                   "expert=2", "--timeline", folder / "step.json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("waiting for transfers"));
  EXPECT_FALSE(nlohmann::json::parse(read_file(folder / "step.json"))["traceEvents"].empty());
}

TEST(PlanProgram, OneInputIsNeeded) {
  for (const std::vector<std::string>& inputs :
       std::vector<std::vector<std::string>>{{}, {"--recipe", "a.toml", "--model", "b"}}) {
    std::vector<std::string> words = {"plan", "--machine", "h100"};
    words.insert(words.end(), inputs.begin(), inputs.end());
    const ProgramResult result = run_program(words);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("name a recipe or a model"));
  }
}

}  // namespace
}  // namespace switchyard::testing
