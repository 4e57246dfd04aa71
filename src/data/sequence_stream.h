// What the trainer reads, whatever makes it: span corruption of prepared data (streams.h) or
// examples of tasks (example_stream.h).
#pragma once

#include <cstdint>
#include <string>

#include "data/token_batch.h"

namespace switchyard {

/// Sequences without end, each a function of its number alone: a position is one integer. All
/// functions are thread-safe.
class SequenceStream {
 public:
  virtual ~SequenceStream() = default;
  /// Sequences [first, first + count).
  virtual TokenBatch batch(uint64_t first, int64_t count) const = 0;
  /// Of the longest row.
  virtual SequenceLengths lengths() const = 0;
  /// Changes with what the sequences are made from: a run must not go on with other data.
  virtual std::string fingerprint() const = 0;
  /// Pieces of the data that turned out to be damaged so far.
  virtual uint64_t damaged_pieces() const { return 0; }
};

/// Sequences to evaluate on: always the same ones in the same order. All functions are thread-safe.
class HeldOutStream {
 public:
  virtual ~HeldOutStream() = default;
  virtual uint64_t num_sequences() const = 0;
  /// Sequences [first, first + count), fewer at the end, none beyond it.
  virtual TokenBatch batch(uint64_t first, int64_t count) const = 0;
  /// Of the longest row.
  virtual SequenceLengths lengths() const = 0;
};

}  // namespace switchyard
