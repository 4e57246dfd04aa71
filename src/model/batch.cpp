#include "model/batch.h"

namespace switchyard {

namespace {

at::Tensor shifted_right(const at::Tensor& ids) {
  at::Tensor shifted = at::zeros_like(ids);
  const int64_t length = ids.size(1);
  if (length > 1) shifted.narrow(1, 1, length - 1).copy_(ids.narrow(1, 0, length - 1));
  return shifted;
}

}  // namespace

Batch make_batch(const at::Tensor& encoder_ids, const at::Tensor& targets, int64_t first_sequence) {
  Batch batch;
  batch.encoder_ids = encoder_ids;
  batch.targets = targets;
  batch.first_sequence = first_sequence;
  batch.decoder_input_ids = shifted_right(targets);
  if (encoder_ids.eq(0).any().item<bool>())
    batch.encoder_segments = encoder_ids.ne(0).to(at::kLong);
  // A decoder position that predicts padding is padding itself. Padding lies at the end of a row,
  // so the causal mask already hides it; its segment keeps it out of routing too.
  if (targets.eq(0).any().item<bool>()) batch.decoder_segments = targets.ne(0).to(at::kLong);
  return batch;
}

Batch make_packed_batch(const at::Tensor& encoder_ids, const at::Tensor& targets,
                        const at::Tensor& encoder_segments, const at::Tensor& decoder_segments,
                        int64_t first_sequence) {
  const at::Tensor goes_on = shifted_right(decoder_segments).eq(decoder_segments);
  return {encoder_ids,      shifted_right(targets) * goes_on,
          targets,          encoder_segments,
          decoder_segments, first_sequence};
}

}  // namespace switchyard
