// Made-up token ids that are as uneven as words in text.
#pragma once

#include <ATen/ATen.h>

namespace switchyard {

/// [rows, length] int64 from 3 up; id 3 + r with probability about 1 / (r + 1). A function of its
/// arguments alone. Requires vocab_size > 3.
at::Tensor zipf_ids(int64_t rows, int64_t length, int64_t vocab_size, uint64_t salt);

}  // namespace switchyard
