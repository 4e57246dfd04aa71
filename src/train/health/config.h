// The [health] section of a recipe: what is watched while training, and what a finding leads to.
#pragma once

#include <cstdint>
#include <string>

#include "base/field_list.h"

namespace switchyard {

/// Policies: "warn" (log and go on), "skip" (leave the update out), "roll_back" (to the last
/// checkpoint from before the trouble, and leave out the batches that led there), "stop" (end with
/// an error). Each kind offers those that make sense for it.
struct HealthConfig {
  std::string not_finite = "skip";  // a loss or gradient that is NaN or infinite
  std::string spike = "warn";       // a loss far above the median of those before
  std::string starved = "warn";     // experts without tokens
  std::string slow = "warn";        // a falling rate of steps; depends on the clock
  int64_t in_a_row = 5;             // skipped updates, or returns to one checkpoint; then stop
  int64_t skip_batches = 100;       // of a roll back, those after the checkpoint at most
  int64_t spike_window = 128;       // losses that a new one is held against; 0: not watched
  double spike_score = 10.0;        // robust z-score of a spike
  int64_t starved_steps = 500;      // in a row; 0: not watched
  double starved_share = 0.01;      // of an even share of the layer's tokens
  int64_t slow_window = 50;         // steps whose median counts; 0: not watched
  double slow_drop = 0.5;           // share of the rate that must be lost

  void list_fields(FieldList& fields);
};

}  // namespace switchyard
