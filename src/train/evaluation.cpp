#include "train/evaluation.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/format.h"
#include "model/moe/profile.h"
#include "train/batches.h"
#include "train/rank_sums.h"

namespace switchyard {
namespace {

constexpr int64_t kTokensAtOnce = 8192;  // about: enough for full speed, little memory

// A multiple of the routing group, so that no group is cut.
int64_t batch_size(const ModelConfig& config, const SequenceLengths& lengths) {
  const int64_t group = config.moe.num_experts > 0 ? routing_rules(config.moe).group_sequences : 1;
  const int64_t wanted = kTokensAtOnce / (lengths.inputs + lengths.targets);
  return std::max<int64_t>(1, wanted / group) * group;
}

/// A result with the same layers that adds nothing.
EvaluationResult nothing_like(const EvaluationResult& other) {
  EvaluationResult nothing;
  for (const RoutingStats& stats : other.routing) {
    RoutingStats& none = nothing.routing.emplace_back();
    none.layer = stats.layer;
    none.load.assign(stats.load.size(), 0.0);
  }
  return nothing;
}

}  // namespace

EvaluationResult& EvaluationResult::operator+=(const EvaluationResult& other) {
  cross_entropy += other.cross_entropy;
  correct += other.correct;
  accumulate(routing, other.routing);
  choices += other.choices;
  sequences += other.sequences;
  seconds += other.seconds;
  return *this;
}

void sum_over_ranks(EvaluationResult& result, Communicator& ranks) {
  auto sequences = static_cast<double>(result.sequences);
  RankSums sums;
  sums.add(result.cross_entropy);
  sums.add(result.correct);
  sums.add(sequences);
  sums.add(result.routing);
  sums.reduce(ranks);
  result.sequences = static_cast<int64_t>(sequences);
}

EvaluationResult evaluate(const BatchEvaluation& compute, const HeldOutStream& stream,
                          int64_t sequences, int64_t batch_size,
                          const std::function<void(int64_t)>& progress, const Mesh& mesh) {
  const auto start = std::chrono::steady_clock::now();
  const auto available = static_cast<int64_t>(stream.num_sequences());
  const int64_t total = sequences > 0 ? std::min(sequences, available) : available;
  const int64_t ranks = mesh.batch().size();
  EvaluationResult result;
  for (int64_t round = 0; round < total; round += ranks * batch_size) {
    const int64_t own = round + mesh.batch().rank() * batch_size;
    const bool idle = own >= total;
    const int64_t first = idle ? (total - 1) / batch_size * batch_size : own;
    const TokenBatch tokens =
        stream.batch(static_cast<uint64_t>(first), std::min(batch_size, total - first));
    EvaluationResult batch;
    compute(tokens, batch);
    batch.sequences = tokens.num_sequences;
    result += idle ? nothing_like(batch) : batch;
    if (progress) progress(std::min(total, round + ranks * batch_size));
  }
  sum_over_ranks(result, mesh.batch());
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

EvaluationResult evaluate(EncoderDecoder& model, const HeldOutStream& stream, int64_t sequences,
                          const std::function<void(int64_t)>& progress, const Mesh& mesh,
                          bool keep_choices) {
  const c10::NoGradGuard no_grad;
  ForwardOptions options;
  options.keep_choices = keep_choices;
  const auto compute = [&](const TokenBatch& tokens, EvaluationResult& result) {
    const Batch batch = to_batch(tokens, tokens.first_sequence);
    ModelOutput output = model.forward(batch, options);
    result.choices.add(batch, output.routing);
    for (RoutingStats& stats : output.routing) stats.choices.reset();
    result.cross_entropy += output.cross_entropy;
    result.correct += output.correct;
    accumulate(result.routing, output.routing);
  };
  return evaluate(compute, stream, sequences, batch_size(model.config(), stream.lengths()),
                  progress, mesh);
}

void check_vocabulary(const ModelConfig& model, int64_t vocab_size, const std::string& where) {
  if (vocab_size <= model.vocab_size) return;
  throw usage_error(format("model.vocab_size = {} is below the tokenizer's {} pieces",
                           model.vocab_size, vocab_size),
                    where, format("set model.vocab_size to {} or more", vocab_size));
}

}  // namespace switchyard
