// `switchyard bench` on a small model and on single operations, and its results side by side.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "tests/integration/program.h"
#include "tests/temporary_folder.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;

TEST(BenchProgram, ResultsCanBeCompared) {
  const TemporaryFolder folder;
  const ProgramResult measured = run_program({"--threads", "1",
                                              "bench",     "--steps",
                                              "1",         "--input-length",
                                              "16",        "--target-length",
                                              "8",         "--json",
                                              "--set",     "model.d_model=32",
                                              "--set",     "model.d_ff=32",
                                              "--set",     "model.d_kv=8",
                                              "--set",     "model.vocab_size=200",
                                              "--set",     "train.batch_sequences=2"});
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  write_file(folder / "a.json", measured.out);
  const ProgramResult compared =
      run_program({"bench", "--compare", folder / "a.json", folder / "a.json"});
  EXPECT_EQ(compared.exit_code, 0) << compared.err;
  EXPECT_THAT(compared.out, HasSubstr("step (median)"));
  EXPECT_THAT(compared.out, HasSubstr("1.000"));
}

TEST(BenchProgram, SingleOperations) {
  const TemporaryFolder folder;
  const ProgramResult measured = run_program({"--threads", "1", "bench", "--ops", "--only",
                                              "router/8192x8", "--seconds", "0.005", "--json"});
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  const nlohmann::json json = nlohmann::json::parse(measured.out);
  EXPECT_EQ(json["kind"], "ops");
  EXPECT_EQ(json["threads"], 1);
  ASSERT_EQ(json["ops"].size(), 1u);
  EXPECT_EQ(json["ops"][0]["name"], "router/8192x8/fwd");
  EXPECT_GT(json["ops"][0]["ratio"], 0);
  write_file(folder / "a.json", measured.out);
  const ProgramResult compared =
      run_program({"bench", "--compare", folder / "a.json", folder / "a.json"});
  EXPECT_EQ(compared.exit_code, 0) << compared.err;
  EXPECT_THAT(compared.out, HasSubstr("router/8192x8/fwd"));
}

TEST(BenchProgram, Decoding) {
  const ProgramResult measured = run_program(
      {"--threads", "1", "bench", "--decode", "--shape", "tiny", "--batch", "2", "--input-length",
       "6", "--target-length", "4", "--steps", "2", "--set", "model.vocab_size=200", "--json"});
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  const nlohmann::json json = nlohmann::json::parse(measured.out);
  EXPECT_EQ(json["kind"], "decode");
  EXPECT_EQ(json["batch"], 2);
  EXPECT_GT(json["tokens_per_second"], 0);
}

TEST(BenchProgram, WrongOptionsAreNamed) {
  const auto complaint = [](const std::vector<std::string>& arguments) {
    const ProgramResult result = run_program(arguments);
    EXPECT_EQ(result.exit_code, 2);
    return result.err;
  };
  EXPECT_THAT(complaint({"bench", "--ops", "--only", "atention"}),
              HasSubstr("no operation has \"atention\" in its name; --only"));
  EXPECT_THAT(complaint({"bench", "--only", "router"}), HasSubstr("--ops"));
  EXPECT_THAT(complaint({"bench", "--batch", "2"}), HasSubstr("--decode"));
  EXPECT_THAT(complaint({"bench", "--ops", "--decode"}), HasSubstr("excludes"));
  EXPECT_THAT(complaint({"bench", "--ops", "--shape", "base8"}), HasSubstr("excludes"));
  EXPECT_THAT(complaint({"bench", "--shape", "huge"}),
              HasSubstr("choose one of: tiny, mini, small, base8, base128"));
}

TEST(BenchProgram, AModelBeyondThisMachineIsRefused) {
  const ProgramResult result =
      run_program({"bench", "--shape", "base128", "--set", "model.moe.num_experts=65536"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("take a smaller shape"));
}

TEST(BenchProgram, AFileThatIsNoResultIsNamed) {
  const TemporaryFolder folder;
  write_file(folder / "a.json", "{}");
  const ProgramResult result =
      run_program({"bench", "--compare", folder / "a.json", folder / "missing.json"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("no key \"shape\"; " + (folder / "a.json")));
}

}  // namespace
}  // namespace switchyard::testing
