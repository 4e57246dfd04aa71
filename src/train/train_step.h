// One training step: forward and backward over the micro-batches of a global batch, then one
// update.
#pragma once

#include <cstdint>
#include <vector>

#include "model/encoder_decoder.h"
#include "train/block_norms.h"
#include "train/optimizer.h"
#include "train/recipe.h"

namespace switchyard {

class GradientReducer;
class Teacher;

/// What a step did. Sums are over the whole global batch.
struct StepResult {
  LossSum cross_entropy;     // nats over real targets; NLP = -mean()
  LossSum soft;              // the same with a teacher's probabilities; empty without one
  LossSum logit_z;           // (log Z)^2 over real targets
  LossSum correct;           // targets predicted by argmax
  double balance_loss = 0;   // with its factor, summed over layers
  double router_z_loss = 0;  // with its factor, summed over layers
  double loss = 0;           // what was minimized
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;  // of the update; 0 if none was made
  std::vector<RoutingStats> routing;
  std::vector<double> gradient_squares;  // by parameter
  std::vector<BlockNorms> blocks;        // of the update; empty if none was made
};

/// Rows [begin, end) of a batch, sharing its memory.
Batch slice_batch(const Batch& batch, int64_t begin, int64_t end);

/// The loss that training minimizes: mean cross-entropy (with a teacher mixed with the soft one),
/// plus the logit z-loss, plus the routers' losses (already times their factors).
double total_loss(const StepResult& result, const ObjectiveConfig& objective);

/// The first half of step `step` (1 = the first) on `batch`, the rows that this rank of the model's
/// mesh has of the global batch: everything but the update. `teacher`: of objective "distill".
/// Gradients are left in the parameters until the next step. Any split into micro-batches and ranks
/// gives the same gradient and the same result.
StepResult compute_gradients(EncoderDecoder& model, const Batch& batch, const Recipe& recipe,
                             int64_t step, GradientReducer& reducer, Teacher* teacher = nullptr);
/// The same, with a reducer that lives for this step alone.
StepResult compute_gradients(EncoderDecoder& model, const Batch& batch, const Recipe& recipe,
                             int64_t step, Teacher* teacher = nullptr);

/// The second half: one update from the gradients, and the parts of `result` that tell of it.
void apply_update(EncoderDecoder& model, Optimizer& optimizer, const Recipe& recipe, int64_t step,
                  StepResult& result);

/// Both. Throws Error(kRuntime) before the update if the loss or the gradient is not finite.
StepResult train_step(EncoderDecoder& model, Optimizer& optimizer, const Batch& batch,
                      const Recipe& recipe, int64_t step);

}  // namespace switchyard
