// A batch of span-corrupted sequences as plain vectors: what the loader hands to the trainer.
#pragma once

#include <cstdint>
#include <vector>

namespace switchyard {

/// Sequences [first_sequence, first_sequence + num_sequences) of a training or evaluation stream,
/// row-major. Every row is full: span corruption fixes both lengths, so there is no padding.
struct TokenBatch {
  int64_t num_sequences = 0;
  int64_t input_length = 0;
  int64_t target_length = 0;
  int64_t first_sequence = 0;    // global index; names the batch's random numbers
  std::vector<int32_t> inputs;   // [num_sequences, input_length], EOS at the end of each row
  std::vector<int32_t> targets;  // [num_sequences, target_length], EOS at the end of each row
};

}  // namespace switchyard
