#include "plan/plan.h"

#include <algorithm>
#include <map>

#include "model/counts.h"

namespace switchyard {
namespace {

/// Replicas write each weight and its optimizer state once.
double checkpoint_bytes(const Recipe& recipe, const MeshConfig& mesh,
                        const std::vector<ParameterShare>& shares) {
  double bytes = 0;
  for (const ParameterShare& share : shares) {
    const double floats = static_cast<double>(share.local.count()) +
                          state_size(recipe.optimizer, share.local).total();
    bytes += 4 * floats / static_cast<double>(share.expert ? mesh.data : mesh.data * mesh.expert);
  }
  return bytes;
}

std::vector<TimeLine> times_by_kind(const StepProgram& program, const Machine& machine, bool wide) {
  std::map<OpKind, double> seconds;
  for (const Op& op : program.ops) {
    if (!op.is_transfer()) seconds[op.kind] += op.repeat * op_seconds(op, machine, wide);
  }
  std::vector<TimeLine> lines;
  for (const auto& [kind, time] : seconds) lines.push_back({kind, time});
  std::sort(lines.begin(), lines.end(),
            [](const TimeLine& a, const TimeLine& b) { return a.seconds > b.seconds; });
  return lines;
}

}  // namespace

bool is_wide(const Recipe& recipe) {
  return parse_precision(recipe.train.precision) == Precision::kFloat32;
}

Plan make_plan(const PlanRequest& request, const std::vector<ParameterShape>& parameters) {
  const Recipe& recipe = request.recipe;
  const StepOptions& options = request.options;
  const bool wide = is_wide(recipe);
  const std::vector<ParameterShare> shares = share_parameters(parameters, request.mesh);
  Plan plan;
  plan.program = make_step_program(recipe, request.mesh, shares, options);
  for (const ParameterShape& parameter : parameters) plan.parameters += parameter.count();
  for (const ParameterShare& share : shares) plan.rank_parameters += share.local.count();
  const auto sequences = static_cast<double>(recipe.train.batch_sequences);
  plan.sequence_flops = forward_flops(recipe.model, options.input_length, options.target_length);
  plan.step_flops =
      training_flops(recipe.model, options.input_length, options.target_length, sequences, 0);
  plan.memory = plan_memory(recipe, request.mesh, shares, plan.program, options, request.machine);
  plan.checkpoint_bytes = checkpoint_bytes(recipe, request.mesh, shares);
  plan.traffic = plan_traffic(plan.program, request.mesh, request.machine);
  plan.times = times_by_kind(plan.program, request.machine, wide);
  const SimulationResult even = simulate_even(plan.program, request.mesh, request.machine, wide);
  plan.step_seconds = even.mean;
  plan.computing = even.steps.front().computing;
  plan.transfers = even.transfers;
  plan.exposed = even.steps.front().waiting;
  plan.tokens_per_second = sequences *
                           static_cast<double>(options.input_length + options.target_length) /
                           plan.step_seconds;
  const double rate =
      wide && request.machine.flops_fp32 > 0 ? request.machine.flops_fp32 : request.machine.flops;
  plan.flops_share =
      plan.step_flops / plan.step_seconds / (rate * static_cast<double>(num_ranks(request.mesh)));
  return plan;
}

Plan make_plan(const PlanRequest& request) {
  return make_plan(request, parameter_shapes(request.recipe));
}

}  // namespace switchyard
