// One output while it is being written, greedily or by sampling: what the searches over a batch and
// the scheduler of requests share.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "infer/generation.h"
#include "infer/output_options.h"
#include "infer/sampling.h"

namespace switchyard {

class OngoingOutput {
 public:
  /// Greedy. `options` must outlive it. max_new_tokens >= 1, EOS counted, the prefix not.
  OngoingOutput(const OutputOptions& options, int64_t max_new_tokens);
  /// Drawn: random numbers are those of (sampling.seed, key, draw). `sampling` must outlive it.
  OngoingOutput(const OutputOptions& options, const SamplingOptions& sampling, uint64_t key,
                uint64_t draw);

  /// Adds the id that follows, given the log-probabilities of all ids, which are the model's logits
  /// minus `log_sum`. Returns it (kDecoderEosId at the end). Must not be done().
  int64_t advance(std::span<const float> log_p, float log_sum);
  bool done() const { return done_; }
  const Generation& generation() const { return generation_; }
  Generation take() { return std::move(generation_); }

 private:
  std::span<const float> scores_of(std::span<const float> log_p, float log_sum);

  const OutputOptions& options_;
  const SamplingOptions* sampling_ = nullptr;
  std::optional<RandomStream> random_;
  int64_t max_new_tokens_;
  bool done_ = false;
  std::vector<int32_t> history_;  // start id, then the ids; where scores depend on them
  std::vector<float> scores_;
  Generation generation_;
};

}  // namespace switchyard
