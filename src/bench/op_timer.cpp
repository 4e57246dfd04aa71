#include "bench/op_timer.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace switchyard {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kFewest = 5, kMost = 10000;

double seconds_of(const std::function<at::Tensor()>& run) {
  const Clock::time_point start = Clock::now();
  run();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

PairTimes time_pair(const OpPair& pair, double seconds) {
  pair.ours();
  pair.reference();
  std::vector<double> ours, reference;
  double spent = 0;
  PairTimes times;
  while (times.repeats < kFewest || (times.repeats < kMost && spent < 2 * seconds)) {
    ours.push_back(seconds_of(pair.ours));
    reference.push_back(seconds_of(pair.reference));
    spent += ours.back() + reference.back();
    ++times.repeats;
  }
  times.ours = median(std::move(ours));
  times.reference = median(std::move(reference));
  return times;
}

}  // namespace switchyard
