// Weights of 8 bits in a model directory (docs/formats.md, "Quantized weights"): which parameters
// are integers with a scale for each output, and the key of config.json that says so, which follows
// compressed-tensors, the format that transformers and vLLM read.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "ops/parameter.h"

namespace switchyard {

enum class Quantization {
  kNone,
  kInt8,  // symmetric, one scale for each row of a matrix
};

/// "none" or "int8".
const char* quantization_name(Quantization quantization);

/// Whether a quantized directory holds the parameter as integers: every matrix but routers and
/// biases by distance.
bool is_quantizable(const Parameter& parameter);

/// The name under which the scales of a weight are stored.
std::string scale_name(const std::string& weight);

/// What an object of config.json says of its weights. Throws Error(kUsage) for another method than
/// the one above. `path` is for messages.
Quantization parse_quantization(const nlohmann::json& config, const std::string& path);

/// The text of a config.json with the key that says kInt8; what is not quantized is float32.
std::string quantized_description_text(const std::string& config_text, const std::string& path);

}  // namespace switchyard
