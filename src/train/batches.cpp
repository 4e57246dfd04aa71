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
  const int64_t rows = tokens.num_sequences;
  const at::Tensor inputs = to_tensor(tokens.inputs, rows, tokens.input_length);
  const at::Tensor targets = to_tensor(tokens.targets, rows, tokens.target_length);
  if (tokens.input_segments.empty()) return make_batch(inputs, targets, first_sequence);
  return make_packed_batch(
      inputs, targets, to_tensor(tokens.input_segments, rows, tokens.input_length),
      to_tensor(tokens.target_segments, rows, tokens.target_length), first_sequence);
}

}  // namespace switchyard
