// config.json of a model directory: Hugging Face's keys for T5, mT5 and Switch models, and our own
// settings under the one key "switchyard" (docs/formats.md, "Model directory").
#pragma once

#include <string>

#include "checkpoint/dtype.h"
#include "model/config.h"
#include "model/quantization.h"

namespace switchyard {

struct ModelDescription {
  ModelConfig config;
  DType dtype = DType::kF32;  // of the weights, as config.json says ("dtype", once "torch_dtype")
  Quantization quantization = Quantization::kNone;
  bool own_settings = false;  // has the key "switchyard"; else what Hugging Face computes is meant
};

/// Reads the text of a config.json. Without own settings the profile is "hf". Keys that it does not
/// know are ignored, as Hugging Face does. Throws Error(kDamaged) if it is no JSON, Error(kUsage)
/// for another kind of model, sizes out of range, an activation, option or quantization that is not
/// supported, and own settings that disagree with Hugging Face's keys. `path` is for messages.
ModelDescription parse_model_description(const std::string& text, const std::string& path);

/// config.json for `config`, with all its settings. transformers 4.57 loads it as
/// T5ForConditionalGeneration or, with experts, SwitchTransformersForConditionalGeneration.
std::string model_description_text(const ModelConfig& config, DType dtype);

/// Whether transformers can build the model. Beyond it: routers other than switch, gates other
/// than p, experts in attention, experts with GEGLU, and routed blocks that no sparse step of
/// Hugging Face gives (all blocks, or those with index 1 modulo the step).
bool fits_hugging_face(const ModelConfig& config);

}  // namespace switchyard
