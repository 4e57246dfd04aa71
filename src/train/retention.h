// Which checkpoints of a run are kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace switchyard {

struct RetentionPolicy {
  int64_t newest = 0;       // that many; 0: all
  int64_t every = 0;        // those of steps that this divides; 0: none
  int64_t best = 0;         // that many with the highest quality by `metric`
  std::string metric = {};  // qualities by another one are not compared
};

struct CheckpointFacts {
  int64_t step = 0;
  std::optional<double> quality;  // of an evaluation at that very step
};

/// Steps of the checkpoints that no rule of `policy` keeps. `all` in ascending order of steps. Of
/// equally good ones the earlier counts as better; one without it is never among the best.
std::vector<int64_t> superfluous_checkpoints(const std::vector<CheckpointFacts>& all,
                                             const RetentionPolicy& policy);

}  // namespace switchyard
