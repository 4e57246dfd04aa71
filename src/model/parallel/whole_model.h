// A model that the ranks of a mesh hold together, put together on the first of them.
#pragma once

#include <memory>

#include "model/encoder_decoder.h"

namespace switchyard {

/// Whether the ranks of the mesh hold different parts of a model.
bool is_shared_out(const Mesh& mesh);

/// On the first rank a model of its own with all weights, to be run there alone; null on the
/// others, which need no more memory for it. Collective.
std::unique_ptr<EncoderDecoder> whole_model(const EncoderDecoder& model);

/// On the first rank along `model` the whole of a tensor, from what these ranks have of it, `part`
/// by `slice`: of experts those of this rank. Undefined on the others, unless all have all of it.
/// Collective along `model`.
at::Tensor gather_matrices(const at::Tensor& part, const TensorSlice& slice, const Mesh& mesh);

}  // namespace switchyard
