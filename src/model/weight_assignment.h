// Which tensor of a directory's files fills which part of which parameter: names, shapes and types
// of files and model held against each other. For model_directory.cpp.
#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/tensor_files.h"
#include "model/encoder_decoder.h"
#include "model/quantization.h"
#include "model/weight_names.h"

namespace switchyard {

/// float32, bfloat16, float16 or float64, the types that weights are read in; else nothing.
std::optional<at::ScalarType> float_type_of(DType type);

/// A list of faults, the first few by name.
class Faults {
 public:
  void add(const std::string& text);
  /// "missing a, b, c and 7 more", or "" if there is none.
  std::string list(const std::string& kind) const;

 private:
  std::string text_;
  size_t count_ = 0;
};

/// A part of a parameter and the stored tensor that fills it.
struct Assignment {
  const Parameter* parameter;
  WeightPart part;
  const StoredTensor* stored;
  const StoredTensor* scales;  // null: not quantized
};

/// Refuses a config.json that asks for far more than the files hold before anything is built from
/// it. Smaller differences are told tensor by tensor by assign().
void check_size(const ModelConfig& config, const TensorFiles& files);

/// The tensor of each part of each parameter. Throws Error(kDamaged) with the names of all that do
/// not fit.
std::vector<Assignment> assign(const TensorFiles& files, const EncoderDecoder& model,
                               Quantization quantization);

}  // namespace switchyard
