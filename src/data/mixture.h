// Which source of a mixture the i-th training sequence comes from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace switchyard {

/// Spreads the sources as evenly as their weights allow: after any number of sequences each source
/// has had its share to within a few. A pure function of i and the seed, O(sources) for any i, so
/// that seeking costs nothing. Thread-safe.
class MixtureSchedule {
 public:
  /// Weights above 0, at least one; only their ratios count.
  MixtureSchedule(const std::vector<double>& weights, uint64_t seed);

  struct Place {
    size_t source;
    uint64_t index;  // how many sequences before i came from the same source
  };
  Place at(uint64_t i) const;

 private:
  // One split a source but the last: of the sequences that reach it, a share (a fraction of 2^64)
  // is the source's, the others go on to the next split.
  struct Split {
    uint64_t share, offset;
    uint64_t taken(uint64_t count) const {
      return static_cast<uint64_t>((static_cast<unsigned __int128>(count) * share + offset) >> 64);
    }
  };
  std::vector<Split> splits_;
};

}  // namespace switchyard
