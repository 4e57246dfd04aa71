// T5's relative position bias of single rows: values by offset side by side, so that what a row
// adds to its scores is one slice of a vector per head.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"

namespace switchyard {

class PositionBias {
 public:
  /// `table` [buckets, heads]. A decoder's rows see no later keys: causal.
  PositionBias(const ModelConfig& config, const std::vector<float>& table, bool causal)
      : config_(config), table_(table), causal_(causal) {}

  /// Makes room for sequences of `length` positions; invalidates what row() gave.
  void reserve(int64_t length);
  /// Biases of the query at `position`: that of key j and head h is [h * stride() + j].
  const float* row(int64_t position) const { return values_.data() + (length_ - 1 - position); }
  int64_t stride() const { return causal_ ? length_ : 2 * length_ - 1; }

 private:
  const ModelConfig& config_;
  const std::vector<float>& table_;
  bool causal_;
  int64_t length_ = 0;
  std::vector<float> values_;  // [heads, stride()], by key minus query from 1 - length_ on
};

}  // namespace switchyard
