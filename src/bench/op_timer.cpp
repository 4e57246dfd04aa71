#include "bench/op_timer.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/median.h"

namespace switchyard {
namespace {

constexpr int64_t kFewest = 5, kMost = 10000;

double seconds_of(const std::function<at::Tensor()>& run) {
  const Clock::time_point start = Clock::now();
  run();
  return seconds_since(start);
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
  times.ours = median_of(std::move(ours));
  times.reference = median_of(std::move(reference));
  return times;
}

}  // namespace switchyard
