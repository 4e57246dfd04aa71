// What collectives cost between the ranks of an mpirun, and how much of one hides behind computing
// with and without the thread that moves it on:
//   mpirun -np 2 --bind-to none build/release/bin/comm_bench [--background]
#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "comm/world.h"

namespace switchyard {
namespace {

constexpr int kTimes = 9;

/// The median over some calls of `work`, seconds, each begun by all ranks together.
double seconds_of(World& world, const std::function<void()>& work) {
  std::vector<double> times;
  for (int i = 0; i < kTimes; ++i) {
    world.all().barrier();
    const Clock::time_point start = Clock::now();
    work();
    times.push_back(seconds_since(start));
  }
  std::nth_element(times.begin(), times.begin() + kTimes / 2, times.end());
  return times[kTimes / 2];
}

/// About 100 ms of arithmetic in registers.
void compute() {
  volatile double sink = 0;
  double x = 1;
  for (int i = 0; i < 25'000'000; ++i) x = x * 1.0000001 + 1e-9;
  sink = x;
  static_cast<void>(sink);
}

void measure(World& world) {
  Communicator& ranks = world.all();
  const auto line = [&](const char* what, double value, const char* unit) {
    if (ranks.rank() == 0) std::printf("%-44s %10.3f %s\n", what, value, unit);
  };
  std::vector<float> values(16 << 20, 1.0F), out(values.size());
  const auto count = static_cast<int64_t>(values.size());
  const double bytes = static_cast<double>(count) * 4;
  const auto reduce = [&] { ranks.all_reduce(values.data(), count, ElementType::kFloat32); };
  const std::vector<int64_t> shares(static_cast<size_t>(ranks.size()), count / ranks.size());
  line("barrier", seconds_of(world, [&] { ranks.barrier(); }) * 1e6, "us");
  line("all_reduce of 256 bytes",
       seconds_of(world, [&] { ranks.all_reduce(values.data(), 64, ElementType::kFloat32); }) * 1e6,
       "us");
  const double all_to_all = seconds_of(
      world, [&] { ranks.all_to_all(values.data(), shares, out.data(), shares, sizeof(float)); });
  line("all_to_all, bytes sent by a rank", bytes / all_to_all * 1e-9, "GB/s");
  const double alone = seconds_of(world, reduce);
  const double computing = seconds_of(world, compute);
  const double together = seconds_of(world, [&] {
    Pending sum = ranks.start_all_reduce(values.data(), count, ElementType::kFloat32);
    compute();
    sum.wait();
  });
  line("all_reduce of 64 MiB", alone * 1e3, "ms");
  line("computing", computing * 1e3, "ms");
  line("both at once", together * 1e3, "ms");
  line("hidden share of the all_reduce", 100 * (alone + computing - together) / alone, "%");
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) {
  switchyard::WorldOptions options;
  options.background = argc > 1 && std::string(argv[1]) == "--background";
  switchyard::World world(options);
  switchyard::measure(world);
}
