// Log-probabilities of given targets, token by token (teacher forcing).
#pragma once

#include <cstdint>
#include <vector>

#include "model/encoder_decoder.h"

namespace switchyard {

/// Ids from 1 to vocab_size - 1 (0 is padding); with EOS where the model should see or predict it.
struct ScoreRequest {
  std::vector<int32_t> input;   // at least one
  std::vector<int32_t> target;  // at least one
};

struct Score {
  std::vector<double> token_log_probs;  // nats, one per target id

  double log_prob() const;  // their sum
};

/// Indices of requests in batches of like lengths.
std::vector<std::vector<size_t>> score_batches(const std::vector<ScoreRequest>& requests,
                                               int64_t batch_size);

/// Scores in the order of the requests. Requests of like lengths share a batch of at most
/// `batch_size`, padded at the end, which changes nothing as padding is neither seen nor scored.
/// Evaluation capacity: where it binds, scores may depend on what shares a batch (profile hf:
/// never).
std::vector<Score> score(EncoderDecoder& model, const std::vector<ScoreRequest>& requests,
                         int64_t batch_size);

}  // namespace switchyard
