// Batches of the training stream that a run leaves out.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace switchyard {

/// Sorted, disjoint ranges of batch numbers. With it the data position stays a pure function: the
/// n-th batch trained on is the n-th that is not left out.
class SkippedBatches {
 public:
  using Range = std::pair<uint64_t, uint64_t>;  // [first, second)

  /// Adds [begin, end); ranges that touch become one.
  void add(uint64_t begin, uint64_t end);
  void add(const SkippedBatches& others);
  /// The number of the n-th batch (from 0) that is not left out.
  uint64_t nth(uint64_t n) const;
  const std::vector<Range>& ranges() const { return ranges_; }

  bool operator==(const SkippedBatches&) const = default;

 private:
  std::vector<Range> ranges_;
};

}  // namespace switchyard
