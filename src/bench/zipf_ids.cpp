#include "bench/zipf_ids.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace switchyard {

at::Tensor zipf_ids(int64_t rows, int64_t length, int64_t vocab_size, uint64_t salt) {
  const at::Tensor ids = at::empty({rows, length}, at::kLong);
  int64_t* out = ids.mutable_data_ptr<int64_t>();
  const RandomStream stream(1, kRandomTest, salt);
  const double span = std::log(static_cast<double>(std::max<int64_t>(vocab_size - 3, 1)));
  for (int64_t i = 0; i < ids.numel(); ++i) {
    const double rank = std::exp(span * stream.uniform(static_cast<uint64_t>(i))) - 1.0;
    out[i] = std::min(vocab_size - 1, 3 + static_cast<int64_t>(rank));
  }
  return ids;
}

}  // namespace switchyard
