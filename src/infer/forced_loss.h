// Given targets through the decoder that generates, one id at a time: what a model whose products
// are of 8 bits really predicts.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "infer/engine/inference_model.h"
#include "infer/score.h"
#include "infer/step_decoder.h"
#include "model/loss_sum.h"

namespace switchyard {

/// Calls use(i, t, log_p) with the log-probabilities [V] of what follows the first t ids of
/// targets[i], for each t below its length. One target, of at least one id, for each input of the
/// decoder, which is at its start.
void force_targets(StepDecoder& decoder, const std::vector<std::vector<int32_t>>& targets,
                   const std::function<void(size_t i, size_t t, const float* log_p)>& use);

/// As score() of score.h. No token is dropped for want of capacity, so that a request's score does
/// not depend on the others.
std::vector<Score> score(InferenceModel& model, const std::vector<ScoreRequest>& requests,
                         int64_t batch_size);

struct ForcedLoss {
  LossSum cross_entropy, correct;  // nats; targets that have the highest probability
};

ForcedLoss forced_loss(InferenceModel& model, const std::vector<std::vector<int32_t>>& inputs,
                       const std::vector<std::vector<int32_t>>& targets);

}  // namespace switchyard
