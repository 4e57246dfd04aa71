#include "infer/ongoing_output.h"

#include <algorithm>

#include "infer/step_decoder.h"

namespace switchyard {

OngoingOutput::OngoingOutput(const OutputOptions& options, int64_t max_new_tokens)
    : options_(options), max_new_tokens_(max_new_tokens) {
  generation_.ids = options.prefix;
  if (!options.changes_scores()) return;
  history_ = {static_cast<int32_t>(kDecoderStartId)};
  history_.insert(history_.end(), options.prefix.begin(), options.prefix.end());
}

OngoingOutput::OngoingOutput(const OutputOptions& options, const SamplingOptions& sampling,
                             uint64_t key, uint64_t draw)
    : OngoingOutput(options, sampling.max_new_tokens) {
  sampling_ = &sampling;
  random_.emplace(sampling.seed, kRandomDecode, key, draw);
}

std::span<const float> OngoingOutput::scores_of(std::span<const float> log_p, float log_sum) {
  if (!options_.changes_scores()) return log_p;
  scores_.assign(log_p.begin(), log_p.end());
  for (float& score : scores_) score += log_sum;
  limit_repetition(scores_, history_, options_);
  return scores_;
}

int64_t OngoingOutput::advance(std::span<const float> log_p, float log_sum) {
  const std::span<const float> scores = scores_of(log_p, log_sum);
  int64_t id;
  if (sampling_) {
    const auto position = static_cast<uint64_t>(generation_.length());
    const double uniform = static_cast<double>(random_->bits64(position) >> 11) * 0x1p-53;
    id = sample_id(scores, *sampling_, uniform);
  } else {
    id = std::max_element(scores.begin(), scores.end()) - scores.begin();
  }
  const double own = log_p[static_cast<size_t>(id)];
  generation_.token_log_probs.push_back(own);
  generation_.log_prob += own;
  generation_.score = generation_.log_prob;
  generation_.finished = id == kDecoderEosId;
  done_ = generation_.finished || generation_.length() == max_new_tokens_;
  if (generation_.finished) return id;
  generation_.ids.push_back(static_cast<int32_t>(id));
  if (options_.changes_scores()) history_.push_back(static_cast<int32_t>(id));
  if (options_.stop && options_.stop(generation_.ids)) generation_.stopped = done_ = true;
  return id;
}

}  // namespace switchyard
