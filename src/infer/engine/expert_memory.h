// A bound on the memory of experts whose weights are mapped from a file: those used last stay,
// others are given up and read again when they are chosen. What the system's file cache holds
// beyond that does not count: it is given up to whoever needs memory, and makes coming back quick.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>

#include "infer/engine/weights.h"

namespace switchyard {

struct ExpertMemoryUse {
  int64_t bound = 0;                        // bytes
  int64_t loads = 0, evictions = 0;         // of experts
  int64_t resident_bytes = 0, largest = 0;  // by our count: now, and the most so far
};

/// Not thread-safe; `weights` must outlive it. One at a time over the same weights: two would give
/// up what the other uses, which costs time, not correctness.
class ExpertMemory {
 public:
  /// Throws Error(kUsage) if some expert is not read where it lies in the file (its type had to be
  /// converted), or is larger than `bound` > 0 bytes.
  ExpertMemory(const InferenceWeights& weights, int64_t bound);

  /// How many of `experts` of a layer, from the first on, fit together, at least one; gives up
  /// others for them. They may be read until the next call.
  size_t admit(const RoutedWeights& layer, std::span<const int64_t> experts);

  const ExpertMemoryUse& use() const { return use_; }

 private:
  struct Expert {
    const FeedForwardWeights* weights;
    int64_t bytes;
    uint64_t call;  // that used it last
  };
  using Order = std::list<Expert>;

  bool make_room(int64_t bytes);

  ExpertMemoryUse use_;
  uint64_t call_ = 0;
  Order resident_;  // used last: first
  std::unordered_map<const FeedForwardWeights*, Order::iterator> places_;
};

}  // namespace switchyard
