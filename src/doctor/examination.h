// Turns what is known about a machine into plain words: what it can do, what holds it back, and
// what to do about that.
#pragma once

#include <string>
#include <vector>

#include "doctor/machine_facts.h"

namespace switchyard {

/// What products were measured to reach, FLOP/s; 0: not measured.
struct MeasuredRates {
  double bf16 = 0, fp32 = 0;
};

struct Finding {
  enum class Level {
    kGood,     // as it should be
    kNote,     // works, but could be better
    kProblem,  // training fails or crawls
  };
  Level level;
  std::string subject;  // "processor", "cores", ...
  std::string what;     // one sentence without its full stop
  std::string advice;   // what to do; "" when there is nothing to do
};

/// "ok", "note" or "problem".
const char* level_name(Finding::Level level);

/// One or more findings for each subject, always in the same order. `threads`: what --threads asks
/// for; 0: all available cores. A pure function.
std::vector<Finding> examine(const MachineFacts& facts, const MeasuredRates& rates, int threads);

}  // namespace switchyard
