// The returns of a run to an earlier checkpoint, on disk: roll_backs.json of the run directory
// (docs/formats.md). What they leave out must hold from the first step after them on, also where
// the process dies before the next checkpoint.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/skipped_batches.h"

namespace switchyard {

struct RollBack {
  int64_t step = 0;        // at which it was decided
  int64_t checkpoint = 0;  // step of the checkpoint taken up
  uint64_t begin = 0;      // batches left out from then on: [begin, end)
  uint64_t end = 0;
  std::string reason;  // the findings, in words
};

/// Those of a run, oldest first; none if the file is not there. Throws Error(kDamaged).
std::vector<RollBack> read_roll_backs(const std::string& run_directory);
void write_roll_backs(const std::string& run_directory, const std::vector<RollBack>& all);

/// All batches that they leave out.
SkippedBatches batches_skipped_by(const std::vector<RollBack>& all);

}  // namespace switchyard
