// Hugging Face's names of a model's weights. Ours are the same but for stacked experts, the stacked
// [gate; linear] of GEGLU, and T5's name for a feed-forward. Attention experts, which Hugging Face
// does not know, are named after both of its patterns.
// E: experts, F: d_ff, D: d_model, I: heads * d_kv.
#pragma once

#include <string>
#include <vector>

#include "model/config.h"
#include "ops/parameter.h"

namespace switchyard {

/// A contiguous part of a parameter that is one tensor there, or a slice of one. The parts of a
/// parameter follow each other and make up all that this rank has of it.
struct WeightPart {
  std::string name;
  std::vector<int64_t> shape;  // of the whole tensor
  TensorSlice slice;           // of it
  int64_t begin = 0;           // first element within what the parameter holds
  int64_t numel = 0;
};

/// `t5_names`: "DenseReluDense" instead of Switch's "mlp". `gated`: `wi` is wi_0 on top of wi_1.
///   ...mlp.experts.wi.weight [E, F, D] -> ...mlp.experts.expert_0.wi.weight [F, D], ...
///   ...SelfAttention.experts.qkv.weight [E, 2I, F or D] ->
///       ...SelfAttention.experts.expert_0.q.weight [I, F or D], ...expert_0.kv.weight, ...
/// Of a stack, the matrices that are here.
std::vector<WeightPart> weight_parts(const Parameter& parameter, bool gated, bool t5_names);

/// Names of the tensors of a stack's matrices that other ranks hold.
std::vector<std::string> weights_elsewhere(const Parameter& parameter, bool gated);

/// Names under which Hugging Face may store the same weights: of the embedding its copies in both
/// stacks and, when tied, the output layer. Not `name` itself.
std::vector<std::string> weight_aliases(const std::string& name, const ModelConfig& config);

}  // namespace switchyard
