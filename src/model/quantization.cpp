#include "model/quantization.h"

#include "base/error.h"
#include "base/format.h"
#include "base/json.h"
#include "checkpoint/dtype.h"

namespace switchyard {
namespace {

using nlohmann::json;

constexpr const char* kKey = "quantization_config";
constexpr const char* kRouter = ".router.classifier.";
constexpr const char* kBias = ".relative_attention_bias.";

json quantization_settings() {
  const json weights = {{"num_bits", 8},
                        {"type", "int"},
                        {"symmetric", true},
                        {"strategy", "channel"},
                        {"dynamic", false}};
  const json activations = {{"num_bits", 8},
                            {"type", "int"},
                            {"symmetric", true},
                            {"strategy", "token"},
                            {"dynamic", true}};
  const json group = {{"targets", {"Linear", "Embedding"}},
                      {"weights", weights},
                      {"input_activations", activations},
                      {"output_activations", nullptr}};
  return {{"quant_method", "compressed-tensors"},
          {"format", "int-quantized"},
          {"quantization_status", "compressed"},
          {"config_groups", {{"group_0", group}}},
          {"ignore", {"re:.*router\\.classifier$", "re:.*relative_attention_bias$"}}};
}

/// Whether `object` has what `wanted` has; of objects within, too.
bool holds(const json& object, const json& wanted) {
  if (!wanted.is_object()) return object == wanted;
  if (!object.is_object()) return false;
  for (const auto& [key, value] : wanted.items()) {
    if (!object.contains(key) || !holds(object.at(key), value)) return false;
  }
  return true;
}

}  // namespace

const char* quantization_name(Quantization quantization) {
  return quantization == Quantization::kInt8 ? "int8" : "none";
}

bool is_quantizable(const Parameter& parameter) {
  const std::string& name = parameter.name();
  return parameter.value().dim() >= 2 && name.find(kRouter) == name.npos &&
         name.find(kBias) == name.npos;
}

std::string scale_name(const std::string& weight) { return weight + "_scale"; }

Quantization parse_quantization(const json& config, const std::string& path) {
  const auto found = config.find(kKey);
  if (found == config.end() || found->is_null()) return Quantization::kNone;
  // How activations are to be treated, and what other tools add, does not change the weights.
  json wanted = quantization_settings();
  json& group = wanted["config_groups"]["group_0"];
  group = {{"weights", group["weights"]}};
  group["weights"].erase("dynamic");
  const json method = {{"quant_method", wanted["quant_method"]},
                       {"format", wanted["format"]},
                       {"config_groups", wanted["config_groups"]}};
  if (holds(*found, method) && found->at("config_groups").size() == 1) return Quantization::kInt8;
  throw usage_error(format("{} of another kind than int8 by output", kKey), path,
                    "take the model before it was quantized, and `switchyard quantize`");
}

std::string quantized_description_text(const std::string& config_text, const std::string& path) {
  json config = parse_json(config_text, path);
  config[kKey] = quantization_settings();
  config["dtype"] = config["torch_dtype"] = torch_dtype_name(DType::kF32);
  return config.dump(2) + "\n";
}

}  // namespace switchyard
