#include "plan/plan_record.h"

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "base/progress.h"

namespace switchyard {
namespace {

constexpr size_t kShownTimes = 12;
constexpr size_t kJsonMoments = 400;  // of memory over time

std::string seconds_text(double seconds) {
  if (seconds >= 1) return format("{:.3f} s", seconds);
  return seconds >= 1e-3 ? format("{:.2f} ms", seconds * 1e3) : format("{:.1f} us", seconds * 1e6);
}

std::string head_text(const PlanRequest& request, const Plan& plan) {
  const Recipe& recipe = request.recipe;
  std::string text =
      format("{} parameters, {} on a rank; {} experts, {} optimizer, {}\n",
             format_count(plan.parameters), format_count(plan.rank_parameters),
             recipe.model.moe.num_experts, recipe.optimizer.kind, recipe.train.precision);
  text += format("{} ranks: {}; {} a rank\n", format_count(num_ranks(request.mesh)),
                 mesh_text(request.mesh), request.machine.name);
  text +=
      format("step: {} sequences of {}/{} tokens, {} a rank in {} forward pass{}\n",
             format_count(recipe.train.batch_sequences), request.options.input_length,
             request.options.target_length, plan.program.batch.sequences,
             plan.program.batch.micro_batches, plan.program.batch.micro_batches == 1 ? "" : "es");
  return text + format("{:.1f} GFLOP forward a sequence, {:.4g} PFLOP a step\n",
                       plan.sequence_flops * 1e-9, plan.step_flops * 1e-15);
}

std::string memory_text(const PlanRequest& request, const Plan& plan) {
  std::string text = "\nmemory of a rank\n";
  for (const MemoryKind& kind : plan.memory.kinds) {
    if (kind.bytes > 0) text += format("  {:<36}{:>12}\n", kind.name, format_bytes(kind.bytes));
  }
  text += format("  {:<36}{:>12}  at {}\n", "peak", format_bytes(plan.memory.peak),
                 plan.memory.peak_at);
  const double limit = request.machine.memory_bytes;
  if (limit > 0 && plan.memory.peak > limit) {
    text +=
        format("  more than the {} of a rank of {}\n", format_bytes(limit), request.machine.name);
  }
  return text;
}

std::string traffic_text(const Plan& plan) {
  if (plan.traffic.empty()) return {};
  std::string text =
      format("\n{:<30}{:<16}{:<14}{:>6}{:>8}{:>13}{:>13}{:>12}\n", "sent by a rank in a step",
             "collective", "over", "ranks", "calls", "in the host", "to others", "time");
  for (const TrafficLine& line : plan.traffic) {
    text += format("  {:<28}{:<16}{:<14}{:>6}{:>8}{:>13}{:>13}{:>12}\n", line.what,
                   collective_name(line.kind), group_name(line.group), line.ranks, line.calls,
                   format_bytes(line.bytes.within), format_bytes(line.bytes.between),
                   seconds_text(line.seconds));
  }
  return text;
}

std::string time_text(const Plan& plan) {
  std::string text = format("\n{:<38}{:>12}{:>9}\n", "time of a step", "", "share");
  for (size_t i = 0; i < std::min(kShownTimes, plan.times.size()); ++i) {
    text += format("  {:<36}{:>12}{:>7.1f} %\n", op_kind_name(plan.times[i].kind),
                   seconds_text(plan.times[i].seconds),
                   100 * plan.times[i].seconds / plan.step_seconds);
  }
  text += format("  {:<36}{:>12}{:>7.1f} %\n", "all computing", seconds_text(plan.computing),
                 100 * plan.computing / plan.step_seconds);
  if (plan.transfers > 0) {
    text += format("  {:<36}{:>12}{:>7.1f} %  ({} if nothing overlapped)\n",
                   "waiting for transfers", seconds_text(plan.exposed),
                   100 * plan.exposed / plan.step_seconds, seconds_text(plan.transfers));
  }
  return text + format("  {:<36}{:>12}\n  {:<36}{:>12}\n  {:<36}{:>10.1f} %\n", "step",
                       seconds_text(plan.step_seconds), "tokens/s",
                       format_count(static_cast<long long>(plan.tokens_per_second)),
                       "share of the product rate", 100 * plan.flops_share);
}

nlohmann::ordered_json moments_json(const Plan& plan) {
  const std::vector<MemoryMoment>& all = plan.memory.moments;
  const size_t stride = all.size() / kJsonMoments + 1;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (size_t begin = 0; begin < all.size(); begin += stride) {
    // The largest of each stretch, so that the peak shows.
    MemoryMoment most = all[begin];
    for (size_t i = begin; i < std::min(all.size(), begin + stride); ++i) {
      if (all[i].bytes > most.bytes) most = all[i];
    }
    const Op& op = plan.program.ops[most.op];
    list.push_back({{"op", most.op},
                    {"place", op.place},
                    {"kind", op_kind_name(op.kind)},
                    {"bytes", most.bytes}});
  }
  return list;
}

}  // namespace

std::string plan_text(const PlanRequest& request, const Plan& plan) {
  return head_text(request, plan) + memory_text(request, plan) + traffic_text(plan) +
         time_text(plan);
}

nlohmann::ordered_json plan_json(const PlanRequest& request, const Plan& plan) {
  nlohmann::ordered_json memory = nlohmann::ordered_json::object();
  for (const MemoryKind& kind : plan.memory.kinds) memory[kind.name] = kind.bytes;
  nlohmann::ordered_json traffic = nlohmann::ordered_json::array();
  for (const TrafficLine& line : plan.traffic) {
    traffic.push_back({{"what", line.what},
                       {"collective", collective_name(line.kind)},
                       {"over", group_name(line.group)},
                       {"ranks", line.ranks},
                       {"calls", line.calls},
                       {"bytes_within_host", line.bytes.within},
                       {"bytes_between_hosts", line.bytes.between},
                       {"seconds", line.seconds}});
  }
  nlohmann::ordered_json times = nlohmann::ordered_json::object();
  for (const TimeLine& line : plan.times) times[op_kind_name(line.kind)] = line.seconds;
  return {{"parameters", plan.parameters},
          {"rank_parameters", plan.rank_parameters},
          {"sequence_flops", plan.sequence_flops},
          {"step_flops", plan.step_flops},
          {"machine", request.machine.name},
          {"mesh",
           {{"data", request.mesh.data},
            {"expert", request.mesh.expert},
            {"model", request.mesh.model}}},
          {"rank_sequences", plan.program.batch.sequences},
          {"micro_batches", plan.program.batch.micro_batches},
          {"memory", memory},
          {"peak_memory", plan.memory.peak},
          {"peak_at", plan.memory.peak_at},
          {"memory_over_time", moments_json(plan)},
          {"traffic", traffic},
          {"times", times},
          {"computing_seconds", plan.computing},
          {"transfer_seconds", plan.transfers},
          {"exposed_transfer_seconds", plan.exposed},
          {"step_seconds", plan.step_seconds},
          {"tokens_per_second", plan.tokens_per_second},
          {"flops_share", plan.flops_share}};
}

std::string simulation_text(const SimulationResult& result) {
  std::string text = format("\nsimulated: {} steps of {} ranks\n", result.steps.size(),
                            format_count(result.ranks));
  text += format("  {:<36}{:>12}  ({} to {})\n", "step", seconds_text(result.mean),
                 seconds_text(result.shortest), seconds_text(result.longest));
  text += format("  {:<36}{:>12}\n", "computing, mean over ranks",
                 seconds_text(result.steps.back().computing));
  text += format("  {:<36}{:>12}\n", "waiting, mean over ranks",
                 seconds_text(result.steps.back().waiting));
  if (result.dropped_share > 0) {
    text += format("  {:<36}{:>10.1f} %\n", "tokens beyond capacity", 100 * result.dropped_share);
  }
  return text;
}

nlohmann::ordered_json simulation_json(const SimulationResult& result) {
  nlohmann::ordered_json steps = nlohmann::ordered_json::array();
  for (const SimulatedStep& step : result.steps) steps.push_back(step.seconds);
  return {{"ranks", result.ranks},
          {"step_seconds", result.mean},
          {"shortest", result.shortest},
          {"longest", result.longest},
          {"computing_seconds", result.steps.back().computing},
          {"waiting_seconds", result.steps.back().waiting},
          {"dropped_share", result.dropped_share},
          {"steps", steps}};
}

}  // namespace switchyard
