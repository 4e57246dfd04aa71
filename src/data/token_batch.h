// A batch of sequences as plain vectors: what the loader hands to the trainer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace switchyard {

/// Tokens of a row, EOS included.
struct SequenceLengths {
  int64_t inputs = 0;
  int64_t targets = 0;

  bool operator==(const SequenceLengths&) const = default;
};

/// Sequences [first_sequence, first_sequence + num_sequences) of a training or evaluation stream,
/// row-major. Without segments every row is one full example, as span corruption makes them; with
/// segments a row holds one example or several, numbered from 1, and padding (id 0, segment 0)
/// behind them.
struct TokenBatch {
  int64_t num_sequences = 0;
  int64_t input_length = 0;
  int64_t target_length = 0;
  int64_t first_sequence = 0;    // global index; names the batch's random numbers
  std::vector<int32_t> inputs;   // [num_sequences, input_length], each example ends with EOS
  std::vector<int32_t> targets;  // [num_sequences, target_length], each example ends with EOS
  std::vector<int32_t> input_segments;   // as inputs, or empty
  std::vector<int32_t> target_segments;  // as targets, or empty

  /// Without padding.
  int64_t input_tokens() const { return real(inputs); }
  int64_t target_tokens() const { return real(targets); }

 private:
  static int64_t real(const std::vector<int32_t>& ids) {
    return static_cast<int64_t>(ids.size()) - std::count(ids.begin(), ids.end(), 0);
  }
};

}  // namespace switchyard
