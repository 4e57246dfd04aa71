// Runs a fuzz target as a test, without libFuzzer: every file of the corpus as it is, then
// mutations of them, always the same ones. Usage: fuzz_NAME CORPUS ROUNDS
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/mutation.h"
#include "tests/fuzz/target.h"

// There in a program with the address sanitizer, whose reports end the process without a signal.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace switchyard::fuzz {
namespace {

constexpr const char* kFailedInput = "fuzz_failed_input";
std::string current;

void save_input() {
  std::ofstream(kFailedInput, std::ios::binary) << current;
  std::fprintf(stderr, "fuzz: the input is in %s\n", kFailedInput);
}

void on_signal(int signal) {
  std::signal(signal, SIG_DFL);
  save_input();
  std::raise(signal);
}

void run_input(const std::string& input) {
  current = input;
  // A copy of the exact size on the heap: reading beyond it is seen by the address sanitizer.
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::vector<std::string> read_corpus(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry);
  std::sort(paths.begin(), paths.end());  // mutations depend on the order
  std::vector<std::string> inputs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

/// Mutations must get past the first check, and not all be harmless.
int judge() {
  const uint64_t runs = tally.accepted + tally.refused;
  std::printf("%lu inputs: %lu accepted, %lu refused\n", runs, tally.accepted, tally.refused);
  const bool enough = tally.accepted * 100 > runs && tally.refused * 4 > runs;
  if (!enough) std::fprintf(stderr, "fuzz: more than 1 %% accepted and 25 %% refused are needed\n");
  return enough ? 0 : 1;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
    std::signal(signal, on_signal);
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(save_input);
  const std::vector<std::string> corpus = read_corpus(argv[1]);
  const uint64_t rounds = std::strtoull(argv[2], nullptr, 10);
  for (const std::string& input : corpus) run_input(input);
  for (uint64_t round = 0; round < rounds; ++round) {
    const std::string& input = corpus[round % corpus.size()];
    run_input(mutate(input, corpus[round / corpus.size() % corpus.size()], round));
  }
  return judge();
}

}  // namespace
}  // namespace switchyard::fuzz

int main(int argc, char** argv) { return switchyard::fuzz::main(argc, argv); }
