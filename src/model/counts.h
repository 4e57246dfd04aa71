// Parameters and FLOPs of a configuration, by arithmetic (research note 2.2; Kaplan counting).
#pragma once

#include "model/config.h"

namespace switchyard {

/// All parameters, shared ones once.
int64_t count_parameters(const ModelConfig& config);
/// Forward FLOPs of one sequence: two per multiply-add in the projections, feed-forwards (one expert
/// per token), attention products and logits. The router is left out, as in the paper's tables.
double forward_flops(const ModelConfig& config, int64_t encoder_length, int64_t decoder_length);

}  // namespace switchyard
