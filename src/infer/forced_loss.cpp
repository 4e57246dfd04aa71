#include "infer/forced_loss.h"

#include <algorithm>

#include "infer/cached_decoder.h"

namespace switchyard {

void force_targets(StepDecoder& decoder, const std::vector<std::vector<int32_t>>& targets,
                   const std::function<void(size_t, size_t, const float*)>& use) {
  std::vector<size_t> active;  // target of each row
  StepRows rows;
  for (size_t i = 0; i < targets.size(); ++i) {
    active.push_back(i);
    rows.add(static_cast<int64_t>(i), kDecoderStartId);
  }
  const int64_t vocabulary = decoder.vocab_size();
  for (size_t t = 0; !active.empty(); ++t) {
    const at::Tensor log_p = decoder.step(rows);
    rows = {};
    std::vector<size_t> going_on;
    for (size_t r = 0; r < active.size(); ++r) {
      const std::vector<int32_t>& target = targets[active[r]];
      use(active[r], t, log_p.const_data_ptr<float>() + static_cast<int64_t>(r) * vocabulary);
      if (t + 1 == target.size()) continue;
      rows.add(static_cast<int64_t>(r), target[t]);
      going_on.push_back(active[r]);
    }
    active = std::move(going_on);
  }
}

std::vector<Score> score(InferenceModel& model, const std::vector<ScoreRequest>& requests,
                         int64_t batch_size) {
  std::vector<Score> scores(requests.size());
  for (const std::vector<size_t>& picked : score_batches(requests, batch_size)) {
    std::vector<std::vector<int32_t>> inputs, targets;
    for (const size_t i : picked) {
      inputs.push_back(requests[i].input);
      targets.push_back(requests[i].target);
    }
    CachedDecoder decoder(model, inputs);
    force_targets(decoder, targets, [&](size_t i, size_t t, const float* log_p) {
      scores[picked[i]].token_log_probs.push_back(log_p[targets[i][t]]);
    });
  }
  return scores;
}

ForcedLoss forced_loss(InferenceModel& model, const std::vector<std::vector<int32_t>>& inputs,
                       const std::vector<std::vector<int32_t>>& targets) {
  ForcedLoss loss;
  CachedDecoder decoder(model, inputs);
  const int64_t vocabulary = decoder.vocab_size();
  force_targets(decoder, targets, [&](size_t i, size_t t, const float* log_p) {
    const int32_t target = targets[i][t];
    loss.cross_entropy += {-static_cast<double>(log_p[target]), 1};
    const bool best = std::max_element(log_p, log_p + vocabulary) - log_p == target;
    loss.correct += {best ? 1.0 : 0.0, 1};
  });
  return loss;
}

}  // namespace switchyard
