// A mishap of one rank ends all of them in time, with an error that names it.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/files.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

struct Ending {
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
  EXPECT_TRUE(WIFEXITED(status));
  return {seconds_since(start), read_file(folder / "err")};
}

/// All but the ranks that were killed or stopped have told an error.
void expect_end(const Ending& ending, int told, const std::vector<std::string>& texts) {
  EXPECT_LT(ending.seconds, 30) << ending.errors;
  int errors = 0;
  const std::string begin = "switchyard: error: ";
  for (size_t at = ending.errors.find(begin); at != ending.errors.npos;
       at = ending.errors.find(begin, at + 1)) {
    ++errors;
  }
  EXPECT_GE(errors, told) << ending.errors;
  for (const std::string& text : texts) {
    EXPECT_NE(ending.errors.find(text), std::string::npos) << text << "\n" << ending.errors;
  }
}

TEST(CommFaultsTest, AKilledRankEndsAllAndIsNamed) {
  // Rank 2 computes and does not look.
  expect_end(ranks_with("kill"), 2,
             {"switchyard: error: rank 1 (", "the main thread did not end by itself",
              "is gone: its process ended; rank 0, all_reduce 21 of the world ranks"});
}

TEST(CommFaultsTest, ARankThatDoesNotComeIsNamedWithTheCollective) {
  expect_end(ranks_with("stall"), 3,
             {"switchyard: error: rank 1 (",
              "did not come within 2 s; rank 0, all_reduce 21 of the world ranks"});
}

// mpirun ends what is left once rank 0 has ended.
TEST(CommFaultsTest, AStoppedRankEndsTheOthersAndIsNamed) {
  expect_end(ranks_with("stop"), 1,
             {"switchyard: error: rank 1 (", "is gone: not heard of for 3 s"});
}

TEST(CommFaultsTest, AnErrorOfOneRankIsToldByAll) {
  expect_end(ranks_with("error"), 3,
             {"switchyard: error: disk full; /checkpoints", "ended: disk full; /checkpoints"});
}

}  // namespace
}  // namespace switchyard
