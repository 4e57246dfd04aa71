// Names of parameters and routed layers in words, for people who read a log.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard {

/// "encoder.block.1.layer.1.mlp.experts.wi.weight", matrix 3 -> "encoder block 1, feed-forward,
/// expert 3". `matrix` < 0, or a parameter without experts: the parameter as a whole. Blocks and
/// experts count from 0, as in names and metrics.
std::string describe_parameter(const std::string& name, int64_t matrix = -1);

/// A layer of RoutingStats: "encoder.1.attention" -> "encoder block 1, self-attention".
std::string describe_routed_layer(const std::string& layer);

/// The block that a parameter counts to in metrics: "encoder.1"; "embedding", "output" and
/// "encoder.final_norm" outside of blocks.
std::string block_of_parameter(const std::string& name);

}  // namespace switchyard
