#include "infer/engine/position_bias.h"

#include <algorithm>

#include "model/layers/relative_bias.h"

namespace switchyard {

void PositionBias::reserve(int64_t length) {
  if (length <= length_) return;
  length_ = std::max<int64_t>(length, 2 * length_);
  const int64_t heads = config_.num_heads, width = stride();
  values_.resize(static_cast<size_t>(heads * width));
  for (int64_t i = 0; i < width; ++i) {
    const int64_t bucket = relative_bucket(i - (length_ - 1), !causal_, config_.relative_buckets,
                                           config_.relative_max_distance);
    for (int64_t h = 0; h < heads; ++h) {
      values_[static_cast<size_t>(h * width + i)] = table_[static_cast<size_t>(bucket * heads + h)];
    }
  }
}

}  // namespace switchyard
