// Runs the real program, for tests.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/temporary_folder.h"

namespace switchyard::testing {

struct ProgramResult {
  int exit_code = -1;  // 128 + signal if a signal ended it
  std::string out, err;
};

/// The program at work, in a process of its own; killed if it still runs at the end.
class Program {
 public:
  /// `shell_before`: run first in the same shell, e.g. "ulimit -f 64".
  explicit Program(const std::vector<std::string>& arguments, const std::string& shell_before = {});
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void signal(int signal_number) const;
  pid_t pid() const { return pid_; }
  /// What it has written on standard output by now.
  std::string out_so_far() const;
  /// Waits for the end.
  ProgramResult wait();

 private:
  TemporaryFolder output_;
  pid_t pid_ = -1;
};

ProgramResult run_program(const std::vector<std::string>& arguments,
                          const std::string& shell_before = {});

/// Waits until `path` exists; false after `seconds`.
bool wait_for(const std::string& path, double seconds = 60);

}  // namespace switchyard::testing
