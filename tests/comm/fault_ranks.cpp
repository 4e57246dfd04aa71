// Ranks of which number 1 has a mishap after some collectives: fault_ranks MISHAP. For
// faults_test.cpp.
#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "comm/world.h"

namespace switchyard {
namespace {

void meet(const std::string& mishap) {
  if (mishap == "kill") std::raise(SIGKILL);
  if (mishap == "stop") std::raise(SIGSTOP);
  if (mishap == "error") throw runtime_failure("disk full", "/checkpoints");
  if (mishap == "stall") std::this_thread::sleep_for(std::chrono::hours(1));
}

void run(const std::string& mishap) {
  WorldOptions options;
  options.wait_seconds = mishap == "stall" ? 2 : 60;
  options.watch.beat_seconds = 0.1;
  options.watch.lost_seconds = mishap == "stop" ? 3 : 15;
  options.watch.grace_seconds = 3;
  World world(options);
  std::vector<float> values(100000, 1.0F);
  try {
    for (int step = 0;; ++step) {
      if (step == 20 && world.rank() == 1) meet(mishap);
      // Rank 2 does not look while it computes; the watch ends it.
      if (step == 20 && world.rank() == 2) std::this_thread::sleep_for(std::chrono::seconds(12));
      world.all().all_reduce(values.data(), static_cast<int64_t>(values.size()),
                             ElementType::kFloat32);
    }
  } catch (const Error& error) {
    world.report_failure(error.what());
    throw;
  }
}

}  // namespace
}  // namespace switchyard

int main(int /*argc*/, char** argv) {
  try {
    switchyard::run(argv[1]);
  } catch (const switchyard::Error& error) {
    std::fprintf(stderr, "switchyard: error: %s\n", error.what());
    return 1;
  }
}
