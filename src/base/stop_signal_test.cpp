#include "base/stop_signal.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace switchyard {
namespace {

/// How a child process ends that gets these signals: exit code 7 if it outlives them, having noted
/// the first; else 128 + the signal that ended it.
int end_of_child(std::initializer_list<int> signals) {
  const pid_t child = ::fork();
  if (child == 0) {
    install_stop_handlers();
    for (const int signal_number : signals) ::raise(signal_number);
    ::_exit(stop_signal() == (signals.size() ? *signals.begin() : 0) ? 7 : 8);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(StopSignal, TheFirstIsNoted) {
  EXPECT_EQ(stop_signal(), 0);
  EXPECT_EQ(end_of_child({}), 7);
  EXPECT_EQ(end_of_child({SIGINT}), 7);
  EXPECT_EQ(end_of_child({SIGTERM}), 7);
}

TEST(StopSignal, TheSecondEndsAtOnceWhicheverItIs) {
  EXPECT_EQ(end_of_child({SIGINT, SIGINT}), 128 + SIGINT);
  EXPECT_EQ(end_of_child({SIGTERM, SIGTERM}), 128 + SIGTERM);
  EXPECT_EQ(end_of_child({SIGINT, SIGTERM}), 128 + SIGTERM);
  EXPECT_EQ(end_of_child({SIGTERM, SIGINT}), 128 + SIGINT);
}

}  // namespace
}  // namespace switchyard
