// Parameters and FLOPs of a configuration, by arithmetic (Kaplan counting).
#pragma once

#include <vector>

#include "model/config.h"

namespace switchyard {

struct RoutingStats;

/// All parameters, shared ones once.
int64_t count_parameters(const ModelConfig& config);
/// Forward FLOPs of one sequence in Kaplan's counting, as in the paper's tables: projections,
/// feed-forwards (one expert per token; of top-2 two, as far as the capacity factor of training has
/// room; of expert choice that factor), attention, logits; the router is left out.
double forward_flops(const ModelConfig& config, int64_t encoder_length, int64_t decoder_length);
/// Forward FLOPs that tokens without any expert saved: of each, what a token takes in its layer.
double dropped_flops(const ModelConfig& config, const std::vector<RoutingStats>& routing);
/// 3 * forward FLOPs of `sequences` sequences, without the experts' work that dropped tokens saved.
double training_flops(const ModelConfig& config, int64_t encoder_length, int64_t decoder_length,
                      double sequences, double saved_forward_flops);

}  // namespace switchyard
