// The [data] section of a recipe.
#pragma once

#include <cstdint>
#include <string>

#include "base/field_list.h"

namespace switchyard {

/// What to train and evaluate on. For span corruption the target length follows from the input
/// length (512 -> 114, 256 -> 58, 128 -> 29, 64 -> 14 with the defaults; data/span_corruption.h).
struct DataConfig {
  WeightedPaths train;            // prepared data, or folders of it (data/prepared_folders.h)
  WeightedPaths validation;       // prepared data; evaluated one after the other
  int64_t input_length = 512;     // tokens of an encoder input, its EOS included
  int64_t target_length = 0;      // of tasks: tokens of a row of targets; 0: see docs/finetuning.md
  bool pack = true;               // tasks: several examples share a row
  std::string tokenizer;          // tasks: SentencePiece model; empty: that of train.start_from
  double mixture_exponent = 1.0;  // tasks: of their weights; 0: all alike, 1 / T: temperature T
  double size_exponent = 0.0;     // prepared data: a source's share is weight x tokens^exponent
  double noise_density = 0.15;    // share of tokens that spans hide
  double mean_span_length = 3.0;  // tokens
  std::string on_damage = "stop";  // or "skip": sequences in damaged pieces are left out
  int64_t loader_threads = 1;      // threads that make batches ahead of the training step

  void list_fields(FieldList& fields);
};

}  // namespace switchyard
