#include "plan/memory_plan.h"

#include "base/format.h"

namespace switchyard {
namespace {

constexpr double kFloat = 4, kBfloat16 = 2, kId = 8;  // bytes

// Recomputation keeps little and allocates much again and again: its gaps are of what passes
// through, three times what is there at once (measured, docs/planning.md).
constexpr double kRecomputedGaps = 6;

double replicas(const ParameterShare& share, const MeshConfig& mesh) {
  return static_cast<double>(share.expert ? mesh.data : mesh.data * mesh.expert);
}

std::vector<MemoryKind> lasting(const Recipe& recipe, const MeshConfig& mesh,
                                const std::vector<ParameterShare>& parameters,
                                const RankBatch& batch, const StepOptions& options, double base) {
  double dense = 0, experts = 0, copies = 0, gradients = 0;
  StateSize state;
  for (const ParameterShare& share : parameters) {
    const auto count = static_cast<double>(share.local.count());
    (share.expert ? experts : dense) += kFloat * count;
    if (share.local.copied) copies += kBfloat16 * count;
    gradients += kFloat * count;
    const double parts = options.shard_optimizer ? replicas(share, mesh) : 1;
    const StateSize own = state_size(recipe.optimizer, share.local);
    state.factored += own.factored / parts;
    state.full += own.full / parts;
    state.moment += own.moment / parts;
  }
  const double checkpoint = dense + experts + kFloat * state.total();
  const bool saves_during =
      recipe.train.checkpoint_every > 0 && recipe.train.checkpoint_every < recipe.train.steps;
  const auto tokens = static_cast<double>(options.input_length + 3 * options.target_length);
  return {
      {"program and libraries", base},
      {"dense weights, float32", dense},
      {"expert weights, float32", experts},
      {"copies for products, bfloat16", copies},
      {"gradients, float32", gradients},
      {"optimizer: row and column means", kFloat * state.factored},
      {"optimizer: second moments", kFloat * state.full},
      {"optimizer: first moments", kFloat * state.moment},
      {"checkpoint: copies", saves_during ? recipe.train.checkpoint_copy_share * checkpoint : 0},
      {"data: batches of ids", 2 * kId * tokens * static_cast<double>(batch.sequences)},
      {"activations kept for backward", 0},  // plan_memory() knows
      {"buffers of running operations", 0},
      {"gaps of the heap", 0}};
}

}  // namespace

MemoryPlan plan_memory(const Recipe& recipe, const MeshConfig& mesh,
                       const std::vector<ParameterShare>& parameters, const StepProgram& program,
                       const StepOptions& options, const Machine& machine) {
  MemoryPlan plan;
  plan.kinds = lasting(recipe, mesh, parameters, program.batch, options, machine.base_bytes);
  double constant = 0;
  for (const MemoryKind& kind : plan.kinds) constant += kind.bytes;
  double kept = 0, kept_at_peak = 0, temporary_at_peak = 0, most = -1;
  for (size_t i = 0; i < program.ops.size(); ++i) {
    const Op& op = program.ops[i];
    const double now = kept + op.keeps + op.temporary;
    plan.moments.push_back({i, constant + now});
    if (now > most) {
      most = now;
      kept_at_peak = kept + op.keeps;
      temporary_at_peak = op.temporary;
      plan.peak_at = format("{}, {}", op.place, op_kind_name(op.kind));
    }
    kept += op.keeps - op.frees;
  }
  // The heap keeps what it once had: its gaps are those of the peak, all the time.
  const double gaps = machine.heap_gaps * (recipe.train.recompute ? kRecomputedGaps : 1) * most;
  for (MemoryMoment& moment : plan.moments) moment.bytes += gaps;
  const size_t count = plan.kinds.size();
  plan.kinds[count - 3].bytes = kept_at_peak;
  plan.kinds[count - 2].bytes = temporary_at_peak;
  plan.kinds[count - 1].bytes = gaps;
  plan.peak = constant + most + gaps;
  return plan;
}

}  // namespace switchyard
