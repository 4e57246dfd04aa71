// Held-out quality: negative log perplexity (NLP = -mean cross-entropy in nats per target, higher
// is better; paper section 2.2) and accuracy of a model on a fixed stream of sequences.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "comm/mesh.h"
#include "data/sequence_stream.h"
#include "model/encoder_decoder.h"
#include "train/token_choices.h"

namespace switchyard {

struct EvaluationResult {
  LossSum cross_entropy, correct;  // over real targets
  std::vector<RoutingStats> routing;
  TokenChoices choices;  // of tokens that this rank has evaluated, where they were asked for
  int64_t sequences = 0;
  double seconds = 0;

  double nlp() const { return -cross_entropy.mean(); }
  double accuracy() const { return correct.mean(); }
  EvaluationResult& operator+=(const EvaluationResult& other);
};

/// Results of the ranks become that of all of them; seconds are rank 0's.
void sum_over_ranks(EvaluationResult& result, Communicator& ranks);

/// Adds what a model makes of a batch to a result: losses, and routing if it has it.
using BatchEvaluation = std::function<void(const TokenBatch&, EvaluationResult&)>;

/// As below, whatever computes a batch of at most `batch_size` sequences. Ranks take batches in
/// turn; when they do not come out even, some compute the last one again, for nothing.
EvaluationResult evaluate(const BatchEvaluation& compute, const HeldOutStream& stream,
                          int64_t sequences, int64_t batch_size,
                          const std::function<void(int64_t)>& progress = {},
                          const Mesh& mesh = Mesh());

/// Evaluates on the first `sequences` of `stream` (fewer if it has fewer; 0: all): evaluation
/// capacity, no dropout, no jitter. Routing groups are slices of the stream, so the result does not
/// depend on how it is cut into batches or on the number of ranks. `progress` is told the sequences
/// done after each batch. `keep_choices`: the result says which tokens chose each expert.
EvaluationResult evaluate(EncoderDecoder& model, const HeldOutStream& stream, int64_t sequences,
                          const std::function<void(int64_t)>& progress = {},
                          const Mesh& mesh = Mesh(), bool keep_choices = false);

/// Throws Error(kUsage) unless the ids of data prepared with `vocab_size` pieces fit the model.
void check_vocabulary(const ModelConfig& model, int64_t vocab_size, const std::string& where);

}  // namespace switchyard
