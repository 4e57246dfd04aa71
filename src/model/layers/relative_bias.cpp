#include "model/layers/relative_bias.h"

#include <algorithm>
#include <cmath>

#include "ops/parameter_bridge.h"

namespace switchyard {

int64_t relative_bucket(int64_t key_minus_query, bool bidirectional, int64_t num_buckets,
                        int64_t max_distance) {
  int64_t base = 0;
  int64_t distance = -key_minus_query;
  if (bidirectional) {
    num_buckets /= 2;
    if (key_minus_query > 0) base = num_buckets;
    distance = std::abs(key_minus_query);
  } else {
    distance = std::max<int64_t>(distance, 0);
  }
  const int64_t exact = num_buckets / 2;
  if (distance < exact) return base + distance;
  const float ratio = std::log(static_cast<float>(distance) / static_cast<float>(exact)) /
                      std::log(static_cast<float>(max_distance) / static_cast<float>(exact));
  const auto step = static_cast<int64_t>(ratio * static_cast<float>(num_buckets - exact));
  return base + std::min(exact + step, num_buckets - 1);
}

at::Tensor relative_offset_bias(Parameter& table, int64_t num_queries, int64_t num_keys,
                                bool bidirectional, int64_t max_distance) {
  const int64_t num_buckets = table.compute().size(0);
  const at::Tensor buckets = at::empty({num_queries + num_keys - 1}, at::kLong);
  int64_t* out = buckets.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < buckets.numel(); ++i) {
    out[i] = relative_bucket(i - (num_queries - 1), bidirectional, num_buckets, max_distance);
  }
  const at::Tensor values = as_tensor(table);
  const at::ScalarType wide = values.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return values.to(wide).index_select(0, buckets).t().contiguous();
}

}  // namespace switchyard
