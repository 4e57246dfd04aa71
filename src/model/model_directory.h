// A model directory is a Hugging Face directory, read and written (docs/formats.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/tensor_files.h"
#include "model/encoder_decoder.h"
#include "model/hf_config.h"
#include "model/weight_names.h"

namespace switchyard {

constexpr const char* kConfigFile = "config.json";
constexpr const char* kTokenizerFile = "spiece.model";

/// config.json of a directory, as parse_model_description().
ModelDescription read_model_description(const std::string& directory);

/// Holds config.json against the weights' names, shapes and types without reading the weights.
/// Throws as load_model().
void check_model_directory(const std::string& directory);

/// Reads all weights of a directory that check_model_directory() has passed. Throws Error(kDamaged)
/// naming the first tensors with values that are NaN or infinite, or with scales that are not above
/// zero.
void verify_weights(const std::string& directory);

/// A tensor of a directory's files and the part of a parameter that it is.
struct StoredPart {
  std::string parameter;
  WeightPart part;
  const StoredTensor* stored;  // of float32, bfloat16, float16 or float64, or of int8 with
  const StoredTensor* scales;  // a float32 for each row; else null
};

/// All parts of all parameters of a model, in the order of the parameters, for those who read or
/// map weights themselves. No weight is read. Throws as load_model().
std::vector<StoredPart> find_weights(const TensorFiles& files, const ModelDescription& model);

/// The scales of a quantized weight, one for each of its rows: [rows]. Throws Error(kDamaged)
/// unless all are finite and above zero.
at::Tensor read_scales(const StoredTensor& scales);

/// Reads the weights of `directory` into the parameters of `model`, each tensor once, experts
/// straight into their stack; then refreshes the compute copies. Any of float32, bfloat16, float16
/// and float64 is taken, and int8 with its scales, which becomes float32 again. Throws
/// Error(kDamaged) naming the first tensors that are missing, misshapen, not of this model, or hold
/// values that are NaN or infinite.
void load_weights(const std::string& directory, EncoderDecoder& model);

/// The model of a model directory, ready to run in `precision`. What config.json asks for is held
/// against the weights before memory is taken.
std::unique_ptr<EncoderDecoder> load_model(const std::string& directory, Precision precision);

struct SaveOptions {
  DType dtype = DType::kF32;
  uint64_t shard_bytes = kDefaultShardBytes;
  std::string tokenizer;  // SentencePiece model to copy; "": none
};

/// A weight under its stored name, and where its float32 numbers lie in the master weights.
struct WeightView {
  TensorSpec spec;  // of the whole tensor
  std::span<const std::byte> bytes;
  TensorSlice slice;       // what of it they are
  bool of_expert = false;  // the ranks along `expert` have others
};

/// All weights of this rank of a model on the CPU with float32 masters, in the order in which
/// save_model() writes them. Valid as long as the model; what it is trained to shows through.
std::vector<WeightView> weight_views(const EncoderDecoder& model);

/// The part of save_model() that is no weights: config.json, generation_config.json and the
/// tokenizer.
void save_model_description(const std::string& directory, const ModelConfig& config,
                            const SaveOptions& options);

/// Copies what may lie beside the weights of a model, ours or of other tools: tokenizer files and
/// generation_config.json.
void copy_companions(const std::string& from, const std::string& to);

/// Writes config.json, generation_config.json, the weights and the tokenizer into `directory`,
/// which exists. Files one by one as base/files.h does; use a temporary directory where all must
/// appear at once.
void save_model(const std::string& directory, const EncoderDecoder& model,
                const SaveOptions& options);

}  // namespace switchyard
