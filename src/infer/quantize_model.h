// A model directory -> one with weights of 8 bits (docs/formats.md, "Quantized weights").
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "checkpoint/tensor_files.h"

namespace switchyard {

struct QuantizeOptions {
  uint64_t shard_bytes = kDefaultShardBytes;
  /// Told the bytes of weights read so far and of all, now and then. May be empty.
  std::function<void(uint64_t done, uint64_t all)> progress;
};

struct QuantizeResult {
  uint64_t bytes_before = 0, bytes_after = 0;  // of weights
};

/// Every matrix of `model` to int8 with a scale for each output, what remains to float32; what else
/// decoding and evaluation need is copied: tokenizer files, generation_config.json, recipe.toml of
/// the run. `output` appears when it is complete. Throws Error(kUsage) if it exists or the model is
/// quantized already, Error(kDamaged) if a weight is not finite, and as load_model().
QuantizeResult quantize_model(const std::string& model, const std::string& output,
                              const QuantizeOptions& options);

}  // namespace switchyard
