// Times an operation and plain LibTorch's version of it, taking turns.
#pragma once

#include <cstdint>

#include "bench/cases/op_case.h"

namespace switchyard {

struct PairTimes {
  double ours = 0, reference = 0;  // seconds, medians
  int64_t repeats = 0;             // of each
};

/// Runs each once unmeasured, then both in turn, so that what disturbs the machine disturbs both:
/// until each had `seconds` on average, at least five times, at most 10,000.
PairTimes time_pair(const OpPair& pair, double seconds);

}  // namespace switchyard
