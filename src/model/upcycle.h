// A dense model -> one with experts that starts where the dense one is (sparse upcycling,
// Komatsuzaki et al. 2023; docs/upcycling.md).
#pragma once

#include <cstdint>
#include <string>

#include "model/encoder_decoder.h"

namespace switchyard {

struct UpcycleOptions {
  MoeConfig moe;            // of the new model; num_experts >= 1
  double noise = 0;         // added to expert weights: standard deviation over the matrix's rms
  double output_scale = 1;  // of the experts' second matrix: num_experts offsets gates of 1 / E
  uint64_t seed = 1;        // of routers and noise
};

/// What the new model computes against the dense one, on a batch of random ids.
struct UpcycleDifference {
  double logits = 0;  // largest absolute difference
  double dense_nlp = 0, sparse_nlp = 0;
};

struct UpcycleResult {
  int64_t parameters_before = 0, parameters_after = 0;
  UpcycleDifference difference;
};

/// Fills `sparse`: every expert gets the feed-forward of the dense model's block, routers are drawn
/// anew, all else is the same. The models differ in `moe` alone. Expert e's noise depends on the
/// seed, the weight and e.
void upcycle_weights(EncoderDecoder& dense, EncoderDecoder& sparse, const UpcycleOptions& options);

/// Compares the two in evaluation, with the new model's own capacity.
UpcycleDifference measure_difference(EncoderDecoder& dense, EncoderDecoder& sparse, uint64_t seed);

/// From a model directory to a new one, which appears when it is complete; tokenizer and
/// generation_config.json are carried over, weights keep their type. Throws Error(kUsage) if
/// `dense` has experts, `output` exists or the options do not fit, and as load_model().
UpcycleResult upcycle_model(const std::string& dense, const std::string& output,
                            const UpcycleOptions& options);

}  // namespace switchyard
