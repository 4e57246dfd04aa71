// A model that the ranks of a mesh hold together, put together on the first of them.
#pragma once

#include <memory>

#include "model/encoder_decoder.h"

namespace switchyard {

/// Whether the ranks of the mesh hold different parts of a model.
bool is_shared_out(const Mesh& mesh);

/// On the first rank a model of its own with all weights, to be run there alone; null on the
/// others. Collective. One parameter at a time is put together on the others too.
std::unique_ptr<EncoderDecoder> whole_model(const EncoderDecoder& model);

/// The whole of a tensor from what the ranks along `model` have of it, `part` by `slice`, and from
/// no one else: of experts those of this rank. Collective along `model`.
at::Tensor gather_matrices(const at::Tensor& part, const TensorSlice& slice, const Mesh& mesh);

}  // namespace switchyard
