// The [data] section of a recipe.
#pragma once

#include <cstdint>
#include <string>

#include "base/field_list.h"

namespace switchyard {

/// What to train and evaluate on. For span corruption the target length follows from the input
/// length (512 -> 114, 256 -> 58, 128 -> 29, 64 -> 14 with the defaults; data/span_corruption.h).
struct DataConfig {
  WeightedPaths train;             // prepared data; weights are shares of training sequences
  WeightedPaths validation;        // prepared data; evaluated one after the other
  int64_t input_length = 512;      // tokens of an encoder input, its EOS included
  double noise_density = 0.15;     // share of tokens that spans hide
  double mean_span_length = 3.0;   // tokens
  std::string on_damage = "stop";  // or "skip": sequences in damaged pieces are left out
  int64_t loader_threads = 1;      // threads that make batches ahead of the training step

  void list_fields(FieldList& fields);
};

}  // namespace switchyard
