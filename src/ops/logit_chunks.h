// The logits of a few rows at a time, kept in the products' own type: losses over the vocabulary
// need never hold all of them. N: rows, n: rows of a chunk, D: d_model, V: vocabulary rows.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>

#include "ops/layer_products.h"

namespace switchyard::ops {

// Products want many rows at once (the table is repacked for each), and what is kept for backward
// need not be computed again; memory wants few: 128 MiB in bfloat16, 256 in float32.
inline constexpr int64_t kChunkElements = int64_t{1} << 26;

inline int64_t rows_per_chunk(int64_t vocab_size) {
  return std::max<int64_t>(64, kChunkElements / vocab_size);
}

struct LogitChunk {
  at::Tensor hidden, targets, log_z, logits;  // [n, D], [n], [n], [n, V]
  int64_t begin, count;
};

/// What for_each_logit_chunk() goes over.
struct LogitRows {
  at::Tensor hidden, table, targets, log_z;  // [N, D], [V, D], [N], [N]
};

/// Room for the logits of one chunk.
inline at::Tensor logit_buffer(const LogitRows& all) {
  const int64_t vocab_size = all.table.size(0);
  return at::empty({std::min(all.hidden.size(0), rows_per_chunk(vocab_size)), vocab_size},
                   all.hidden.options());
}

/// body(chunk) for consecutive rows, the last ones first if `last_is_ready` (then `buffer` holds
/// their logits already), else in order. The logits are those before scaling; `body` may use them
/// up.
template <class Body>
void for_each_logit_chunk(const LogitRows& all, const at::Tensor& buffer, bool last_is_ready,
                          const Body& body) {
  const int64_t rows = all.hidden.size(0), per_chunk = rows_per_chunk(all.table.size(0));
  const int64_t chunks = (rows + per_chunk - 1) / per_chunk;
  for (int64_t i = 0; i < chunks; ++i) {
    const int64_t begin = per_chunk * (last_is_ready ? chunks - 1 - i : i);
    const int64_t count = std::min(per_chunk, rows - begin);
    LogitChunk chunk{all.hidden.narrow(0, begin, count),
                     all.targets.narrow(0, begin, count),
                     all.log_z.narrow(0, begin, count),
                     buffer.narrow(0, 0, count),
                     begin,
                     count};
    if (i > 0 || !last_is_ready) {
      layer_forward(chunk.hidden, {0, count}, all.table, false, chunk.logits);
    }
    body(chunk);
  }
}

}  // namespace switchyard::ops
