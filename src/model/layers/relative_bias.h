// T5's relative position bias: a learned table [buckets, H] that all layers of a
// stack share, added to self-attention scores.
#pragma once

#include <ATen/ATen.h>

#include "ops/parameter.h"

namespace switchyard {

/// Bucket of a relative position (key minus query). Half of the buckets are exact, the rest grow
/// logarithmically up to `max_distance`. Follows the float32 formula of the reference codes.
int64_t relative_bucket(int64_t key_minus_query, bool bidirectional, int64_t num_buckets,
                        int64_t max_distance);

/// Scores' bias by offset, differentiable in the table: [H, S + T - 1] float32, entry j - i + S - 1
/// for query i and key j (ops::AttentionInput::offset_bias).
at::Tensor relative_offset_bias(Parameter& table, int64_t num_queries, int64_t num_keys,
                                bool bidirectional, int64_t max_distance);

}  // namespace switchyard
