#include "tests/integration/program.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "base/files.h"

namespace switchyard::testing {

Program::Program(const std::vector<std::string>& arguments, const std::string& shell_before) {
  std::vector<std::string> words = {"/bin/sh", "-c", shell_before + "\nexec \"$@\"", "sh",
                                    SWITCHYARD_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const std::string out = output_ / "out", err = output_ / "err";
  pid_ = ::fork();
  if (pid_ != 0) return;
  ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT, 0600), STDOUT_FILENO);
  ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT, 0600), STDERR_FILENO);
  ::execv(pointers[0], pointers.data());
  ::_exit(127);
}

Program::~Program() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Program::signal(int signal_number) const { ::kill(pid_, signal_number); }

std::string Program::out_so_far() const {
  const std::string path = output_ / "out";
  return std::filesystem::exists(path) ? read_file(path) : "";
}

ProgramResult Program::wait() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  ProgramResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = read_file(output_ / "out");
  result.err = read_file(output_ / "err");
  return result;
}

ProgramResult run_program(const std::vector<std::string>& arguments,
                          const std::string& shell_before) {
  return Program(arguments, shell_before).wait();
}

bool wait_for(const std::string& path, double seconds) {
  for (double waited = 0; waited < seconds; waited += 0.01) {
    if (std::filesystem::exists(path)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace switchyard::testing
