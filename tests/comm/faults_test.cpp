// A mishap of one rank ends all of them in time, with an error that names it.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "base/clock.h"
#include "base/files.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

struct Ending {
  int exit_code = 0;
  double seconds = 0;
  std::string errors;
};

/// Three ranks, which mpirun does not end for us unless one is stopped: that one cannot end itself.
Ending ranks_with(const std::string& mishap) {
  const testing::TemporaryFolder folder;
  const std::string recovery = mishap == "stop" ? "" : "--enable-recovery ";
  const std::string command = "mpirun --allow-run-as-root --oversubscribe --bind-to none " +
                              recovery + "-np 3 " FAULT_RANKS " " + mishap + " > " +
                              (folder / "out") + " 2> " + (folder / "err");
  const Clock::time_point start = Clock::now();
  const int status = std::system(command.c_str());
  return {WEXITSTATUS(status), seconds_since(start), read_file(folder / "err")};
}

void expect_end(const Ending& ending, const std::string& text) {
  EXPECT_NE(ending.exit_code, 0);
  EXPECT_LT(ending.seconds, 30) << ending.errors;
  EXPECT_NE(ending.errors.find(text), std::string::npos) << ending.errors;
}

TEST(CommFaultsTest, AKilledRankEndsAllAndIsNamed) {
  const Ending ending = ranks_with("kill");
  expect_end(ending, "is gone: its process ended; rank 0, all_reduce 21 of the world ranks");
  expect_end(ending, "switchyard: error: rank 1 (");
  // Rank 2 was busy.
  expect_end(ending, "the main thread did not end by itself");
}

TEST(CommFaultsTest, ARankThatDoesNotComeIsNamedWithTheCollective) {
  const Ending ending = ranks_with("stall");
  expect_end(ending, "did not come within 2 s; rank 0, all_reduce 21 of the world ranks");
  expect_end(ending, "rank 1 (");
}

TEST(CommFaultsTest, AStoppedRankEndsTheOthersAndIsNamed) {
  const Ending ending = ranks_with("stop");
  expect_end(ending, "is gone: not heard of for 3 s");
  expect_end(ending, "switchyard: error: rank 1 (");
}

TEST(CommFaultsTest, AnErrorOfOneRankIsToldByAll) {
  const Ending ending = ranks_with("error");
  expect_end(ending, "ended: disk full; /checkpoints");
}

}  // namespace
}  // namespace switchyard
