// Failures and searches as text and JSON; the plan itself: plan_record.cpp.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "base/progress.h"
#include "plan/plan_record.h"

namespace switchyard {
namespace {

std::string line(const FoundMesh& found) {
  return format("{:>6}{:>8}{:>7}{:>7}{:>11}{:>9}{:>13}{:>12.4g}{:>16}\n", found.mesh.data,
                found.mesh.expert, found.mesh.model, found.micro, found.recompute ? "yes" : "no",
                found.shard_optimizer ? "yes" : "no", format_bytes(found.peak_memory),
                found.step_seconds, format_count(static_cast<long long>(found.tokens_per_second)));
}

nlohmann::ordered_json to_json(const FoundMesh& found) {
  return {{"data", found.mesh.data},
          {"expert", found.mesh.expert},
          {"model", found.mesh.model},
          {"micro_batch_sequences", found.micro},
          {"recompute", found.recompute},
          {"shard_optimizer", found.shard_optimizer},
          {"peak_memory", found.peak_memory},
          {"step_seconds", found.step_seconds},
          {"tokens_per_second", found.tokens_per_second}};
}

}  // namespace

std::string search_text(const SearchResult& result, size_t shown) {
  std::string text =
      format("{} settings tried, {} meshes fit\n", result.tried, result.fitting.size());
  const std::string head =
      format("{:>6}{:>8}{:>7}{:>7}{:>11}{:>9}{:>13}{:>12}{:>16}\n", "data", "expert", "model",
             "micro", "recompute", "ZeRO-1", "peak memory", "step, s", "tokens/s");
  if (result.fitting.empty()) {
    if (result.smallest.micro == 0) {
      return text + format("no mesh divides: {}\n", result.refused);
    }
    return text + "none fits; the one of least memory:\n" + head + line(result.smallest);
  }
  text += head;
  for (size_t i = 0; i < std::min(shown, result.fitting.size()); ++i) {
    text += line(result.fitting[i]);
  }
  return text;
}

nlohmann::ordered_json search_json(const SearchResult& result) {
  nlohmann::ordered_json fitting = nlohmann::ordered_json::array();
  for (const FoundMesh& found : result.fitting) fitting.push_back(to_json(found));
  nlohmann::ordered_json json = {{"tried", result.tried}, {"fitting", fitting}};
  if (result.smallest.micro > 0) json["least_memory"] = to_json(result.smallest);
  return json;
}

std::string failures_text(const FailureOptions& options, const FailurePlan& plan) {
  const auto line = [](const char* name, const std::string& value) {
    return format("  {:<36}{:>16}\n", name, value);
  };
  std::string text = "\nfailures\n";
  text += line("mean time between failures", format_duration(plan.mtbf_seconds));
  text += line("a checkpoint, if all wait for it", format_duration(options.save_seconds));
  text += line("best interval, Young", format_duration(plan.young_seconds));
  text += line("best interval, Daly", format_duration(plan.daly_seconds));
  text += line("train.checkpoint_every", format_count(plan.interval_steps));
  text += line("work that lasts, by Daly's model", format("{:.1f} %", 100 * plan.expected_share));
  text += line("in a simulated run", format("{:.1f} %", 100 * plan.simulated_share));
  return text + line("  failures", format_count(plan.failures)) +
         line("  lost", format_duration(plan.lost_seconds)) +
         line("  saving", format_duration(plan.saving_seconds)) +
         line("  restarting", format_duration(plan.restarting_seconds));
}

nlohmann::ordered_json failures_json(const FailureOptions& options, const FailurePlan& plan) {
  return {{"mtbf_seconds", plan.mtbf_seconds},
          {"save_seconds", options.save_seconds},
          {"young_seconds", plan.young_seconds},
          {"daly_seconds", plan.daly_seconds},
          {"checkpoint_every", plan.interval_steps},
          {"expected_share", plan.expected_share},
          {"simulated_share", plan.simulated_share},
          {"failures", plan.failures},
          {"lost_seconds", plan.lost_seconds},
          {"saving_seconds", plan.saving_seconds},
          {"restarting_seconds", plan.restarting_seconds}};
}

}  // namespace switchyard
