#include "train/batches.h"

#include <algorithm>

namespace switchyard {
namespace {

at::Tensor to_tensor(const std::vector<int32_t>& ids, int64_t rows, int64_t columns) {
  const at::Tensor tensor = at::empty({rows, columns}, at::kLong);
  std::copy_n(ids.begin(), rows * columns, tensor.mutable_data_ptr<int64_t>());
  return tensor;
}

}  // namespace

Batch to_batch(const TokenBatch& tokens, int64_t first_sequence) {
  return make_batch(to_tensor(tokens.inputs, tokens.num_sequences, tokens.input_length),
                    to_tensor(tokens.targets, tokens.num_sequences, tokens.target_length),
                    first_sequence);
}

}  // namespace switchyard
