// `switchyard doctor` on the machine that runs the tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/integration/program.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;

TEST(DoctorProgram, SaysInPlainWordsWhatIsThere) {
  const ProgramResult result = run_program({"doctor", "--no-measure"});
  EXPECT_THAT(result.exit_code, ::testing::AnyOf(0, 1)) << result.err;
  EXPECT_THAT(result.out, HasSubstr("LibTorch 2.11"));
  for (const char* subject :
       {"processor", "cores", "memory", "environment", "disk", "GPU", "MPI"}) {
    EXPECT_THAT(result.out, HasSubstr(subject));
  }
  EXPECT_EQ(result.err, "");
}

TEST(DoctorProgram, MeasuresProductsAndPrintsJson) {
  const ProgramResult result = run_program({"--threads", "1", "doctor", "--json"});
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_GT(json["gemm_rate"]["bf16"], 1e6);
  EXPECT_GT(json["gemm_rate"]["fp32"], 1e6);
  EXPECT_GE(json["cores_available"], 1);
  EXPECT_GE(json["findings"].size(), 7u);
}

TEST(DoctorProgram, AProblemEndsWith1) {
  const ProgramResult result = run_program({"--threads", "4096", "doctor", "--no-measure"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("problem  cores        --threads 4096 asks for more"));
}

TEST(DoctorProgram, SeesThatTheKernelsAreHeldBack) {
  const ProgramResult result =
      run_program({"doctor", "--no-measure", "--json"}, "export SWITCHYARD_ISA=generic");
  EXPECT_EQ(nlohmann::json::parse(result.out)["instructions_used"], "generic");
}

}  // namespace
}  // namespace switchyard::testing
