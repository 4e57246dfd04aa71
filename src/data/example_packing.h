// Which examples share a row: several short ones side by side waste less than padding does (T5's
// packing). Segment numbers keep them apart in the model.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/token_batch.h"

namespace switchyard {

/// Rows of examples, one after the other.
struct PackedRows {
  std::vector<uint32_t> examples;  // indices, row by row
  std::vector<uint32_t> ends;      // of each row in `examples`

  size_t size() const { return ends.size(); }
  std::span<const uint32_t> row(size_t r) const {
    const uint32_t begin = r == 0 ? 0 : ends[r - 1];
    return std::span(examples).subspan(begin, ends[r] - begin);
  }
};

/// Fills rows of `room` in the order of `order`, indices of `lengths`: each example goes to the
/// first of the rows still open that has room for its input and its target; a few rows are open at
/// a time, and the oldest is closed for a new one. Every example must fit a row by itself. A
/// function of its arguments alone.
PackedRows pack_examples(const std::vector<SequenceLengths>& lengths,
                         const std::vector<uint32_t>& order, const SequenceLengths& room);

}  // namespace switchyard
