// Batch: what one forward pass reads. B sequences, S encoder positions, T decoder positions.
#pragma once

#include <ATen/ATen.h>

namespace switchyard {

struct Batch {
  at::Tensor encoder_ids;        // [B, S] int64, 0 = padding
  at::Tensor decoder_input_ids;  // [B, T] int64: targets shifted right behind a 0
  at::Tensor targets;            // [B, T] int64, 0 = padding, counts in no loss
  // Undefined when every position is real and each row is one example. Else positions see each
  // other only within equal numbers; 0 = padding.
  at::Tensor encoder_segments;  // [B, S] int64
  at::Tensor decoder_segments;  // [B, T] int64
  int64_t first_sequence = 0;  // index of row 0 in the global batch: keys random numbers and groups

  int64_t num_sequences() const { return encoder_ids.size(0); }
};

/// Builds a batch from ids: decoder inputs are the targets shifted right; segments are added where
/// padding (id 0) occurs. Both [B, *] int64.
Batch make_batch(const at::Tensor& encoder_ids, const at::Tensor& targets,
                 int64_t first_sequence = 0);

/// The same of rows that hold several examples: decoder inputs are shifted right within each
/// segment. Segments as in Batch, of the shapes of the ids.
Batch make_packed_batch(const at::Tensor& encoder_ids, const at::Tensor& targets,
                        const at::Tensor& encoder_segments, const at::Tensor& decoder_segments,
                        int64_t first_sequence = 0);

}  // namespace switchyard
