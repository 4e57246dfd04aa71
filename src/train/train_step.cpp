#include "train/train_step.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/format.h"
#include "base/profile.h"
#include "train/gradient_reducer.h"
#include "train/rank_sums.h"
#include "train/schedule.h"
#include "train/teacher.h"

namespace switchyard {
namespace {

at::Tensor rows(const at::Tensor& tensor, int64_t begin, int64_t end) {
  return tensor.defined() ? tensor.slice(0, begin, end) : tensor;
}

void check_finite(double value, const char* name, int64_t step) {
  if (std::isfinite(value)) return;
  throw runtime_failure(format("the {} became {}", name, value), format("step {}", step),
                        "the weights were not touched; go on from the last checkpoint with a lower "
                        "optimizer.learning_rate, a longer warm-up or optimizer.clip_norm = 1.0");
}

// The two halves of the work, timed (what their ops do not account for stays with them).
ModelOutput forward(EncoderDecoder& model, const Batch& batch, const ForwardOptions& options) {
  const ProfileScope profile("rest of forward");
  return model.forward(batch, options);
}

void backward(const at::Tensor& loss) {
  const ProfileScope profile("rest of backward");
  loss.backward();
}

// Adds what a micro-batch, `share` of the sequences, brought.
void accumulate(StepResult& result, const ModelOutput& output, double share) {
  result.cross_entropy += output.cross_entropy;
  result.soft += output.soft;
  result.logit_z += output.logit_z;
  result.correct += output.correct;
  result.balance_loss += share * output.balance_loss;
  result.router_z_loss += share * output.router_z_loss;
  accumulate(result.routing, output.routing);
}

void sum_over_ranks(StepResult& result, Communicator& ranks) {
  RankSums sums;
  for (LossSum* sum : {&result.cross_entropy, &result.soft, &result.logit_z, &result.correct}) {
    sums.add(*sum);
  }
  for (double* loss : {&result.balance_loss, &result.router_z_loss}) sums.add(*loss);
  sums.add(result.routing);
  sums.reduce(ranks);
}

}  // namespace

Batch slice_batch(const Batch& batch, int64_t begin, int64_t end) {
  return {rows(batch.encoder_ids, begin, end),      rows(batch.decoder_input_ids, begin, end),
          rows(batch.targets, begin, end),          rows(batch.encoder_segments, begin, end),
          rows(batch.decoder_segments, begin, end), batch.first_sequence + begin};
}

double total_loss(const StepResult& result, const ObjectiveConfig& objective) {
  double loss = result.cross_entropy.mean();
  if (result.soft.count > 0) {
    const double factor = objective.temperature * objective.temperature;
    loss = (1 - objective.soft_weight) * loss + objective.soft_weight * factor * result.soft.mean();
  }
  return loss + objective.logit_z_loss * result.logit_z.mean() + result.balance_loss +
         result.router_z_loss;
}

StepResult compute_gradients(EncoderDecoder& model, const Batch& batch, const Recipe& recipe,
                             int64_t step, GradientReducer& reducer, Teacher* teacher) {
  const Mesh& mesh = model.parameters().mesh();
  ForwardOptions options;
  options.training = true;
  options.seed = static_cast<uint64_t>(recipe.train.seed);
  options.step = static_cast<uint64_t>(step);
  options.logit_z_loss = recipe.objective.logit_z_loss;
  options.recompute = recipe.train.recompute;

  const int64_t num_sequences = batch.num_sequences();
  const auto global_sequences = static_cast<double>(num_sequences * mesh.batch().size());
  std::vector<double> num_targets = {batch.targets.gt(0).sum().item<double>()};
  mesh.batch().sum(num_targets);
  StepResult result;
  model.parameters().clear_gradients();
  for (int64_t begin = 0; begin < num_sequences; begin += recipe.train.micro_batch()) {
    const int64_t end = std::min(begin + recipe.train.micro_batch(), num_sequences);
    const double share = static_cast<double>(end - begin) / global_sequences;
    const Batch part = slice_batch(batch, begin, end);
    ops::SoftTargets soft;
    if (teacher) {
      soft = teacher->soft_targets(part, recipe.objective);
      options.soft_targets = &soft;
    }
    const ModelOutput output = forward(model, part, options);
    if (end == num_sequences) reducer.begin();
    backward(output.loss_sum / num_targets.front() + output.auxiliary * share);
    accumulate(result, output, share);
  }
  reducer.finish();
  sum_over_ranks(result, mesh.batch());

  result.loss = total_loss(result, recipe.objective);
  result.gradient_squares = gradient_squares(model.parameters());
  result.gradient_norm = gradient_norm(result.gradient_squares);
  return result;
}

void apply_update(EncoderDecoder& model, Optimizer& optimizer, const Recipe& recipe, int64_t step,
                  StepResult& result) {
  result.learning_rate = learning_rate_at(recipe.optimizer, step, recipe.train.steps);
  optimizer.step(result.learning_rate,
                 clip_factor(result.gradient_norm, recipe.optimizer.clip_norm));
  std::vector<double> change_squares = optimizer.change_squares();
  sum_parts(model.parameters(), change_squares);
  result.blocks = block_norms(model.parameters(), result.gradient_squares, change_squares);
}

StepResult compute_gradients(EncoderDecoder& model, const Batch& batch, const Recipe& recipe,
                             int64_t step, Teacher* teacher) {
  GradientReducer reducer(model.parameters());
  return compute_gradients(model, batch, recipe, step, reducer, teacher);
}

StepResult train_step(EncoderDecoder& model, Optimizer& optimizer, const Batch& batch,
                      const Recipe& recipe, int64_t step) {
  StepResult result = compute_gradients(model, batch, recipe, step);
  check_finite(result.loss, "loss", step);
  check_finite(result.gradient_norm, "gradient norm", step);
  apply_update(model, optimizer, recipe, step, result);
  return result;
}

}  // namespace switchyard
