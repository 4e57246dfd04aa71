// Token ids for tests of models.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "base/random.h"

namespace switchyard::testing {

/// [rows, columns] int64 in [3, vocab_size), the same for the same seed.
inline at::Tensor made_up_ids(int64_t rows, int64_t columns, int64_t vocab_size, uint64_t seed) {
  const RandomStream stream(seed, kRandomTest);
  const at::Tensor ids = at::empty({rows, columns}, at::kLong);
  for (int64_t i = 0; i < ids.numel(); ++i) {
    ids.mutable_data_ptr<int64_t>()[i] =
        3 + static_cast<int64_t>(
                stream.below(static_cast<uint64_t>(i), static_cast<uint64_t>(vocab_size - 3)));
  }
  return ids;
}

}  // namespace switchyard::testing
