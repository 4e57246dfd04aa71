// Decoding on made-up ids and weights: speed, and share of what reading the weights allows.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "infer/engine/weights.h"
#include "model/config.h"

namespace switchyard {

struct DecodeBenchOptions {
  int64_t batch = 1;  // inputs decoded together
  int64_t input_length = 64, new_tokens = 64;
  int64_t rounds = 5;  // whole batches timed, >= 1, after one that is not
};

struct DecodeBenchResult {
  int64_t parameters = 0;
  int64_t bytes_per_step = 0;      // of weights, for a batch of one
  double memory_rate = 0;          // bytes/s read
  double first_token_seconds = 0;  // median: encoder and first step
  double step_seconds = 0;         // median over the later steps
  double tokens_per_second = 0;    // ids written / time of a whole batch, encoder included; median
  double memory_share =
      0;  // bytes_per_step / step_seconds / memory_rate, of a batch of one; else 0
  unsigned long long peak_memory = 0;
};

/// Greedy decoding of random weights, EOS left out so that every output has its full length. Throws
/// Error(kRuntime) if the weights do not fit.
DecodeBenchResult run_decode_bench(const ModelConfig& config, WeightType type,
                                   const DecodeBenchOptions& options);

/// The weights that decoding in a recipe's `precision` reads. Throws Error(kUsage) unless it is
/// "bf16-selective" or "fp32".
WeightType decode_weights(const std::string& precision);

struct DecodeRecord {
  std::string shape, processor, precision;  // "int8" for such weights
  int threads = 1;
  DecodeBenchOptions options;
  DecodeBenchResult result;
};

nlohmann::json to_json(const DecodeRecord& record);
std::string decode_table(const DecodeRecord& record);

}  // namespace switchyard
