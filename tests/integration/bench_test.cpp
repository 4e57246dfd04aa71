// `switchyard bench` on a tiny shape, and two of its results side by side.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
