// From the loader's plain ids to the tensors that a model reads.
#pragma once

#include "data/token_batch.h"
#include "model/batch.h"

namespace switchyard {

/// A batch of tensors with the ids of `tokens`. `first_sequence` is the index of its first row in
/// the global batch, not in the stream: 0 in training on one rank.
Batch to_batch(const TokenBatch& tokens, int64_t first_sequence);

}  // namespace switchyard
