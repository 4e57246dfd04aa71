#include "model/batch.h"

namespace switchyard {

Batch make_batch(const at::Tensor& encoder_ids, const at::Tensor& targets, int64_t first_sequence) {
  Batch batch;
  batch.encoder_ids = encoder_ids;
  batch.targets = targets;
  batch.first_sequence = first_sequence;
  batch.decoder_input_ids = at::zeros_like(targets);
  const int64_t length = targets.size(1);
  if (length > 1) {
    batch.decoder_input_ids.narrow(1, 1, length - 1).copy_(targets.narrow(1, 0, length - 1));
  }
  if (encoder_ids.eq(0).any().item<bool>())
    batch.encoder_segments = encoder_ids.ne(0).to(at::kLong);
  // A decoder position that predicts padding is padding itself. Padding lies at the end of a row,
  // so the causal mask already hides it; its segment keeps it out of routing too.
  if (targets.eq(0).any().item<bool>()) batch.decoder_segments = targets.ne(0).to(at::kLong);
  return batch;
}

}  // namespace switchyard
