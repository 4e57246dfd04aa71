// switchyard doctor: what this machine can do, what holds it back, what to do about it.
#include "commands.h"

#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "doctor/examination.h"
#include "train/gemm_rate.h"
#include "train/process_setup.h"

namespace switchyard {
namespace {

struct DoctorCommand {
  bool measure = true;
  bool json = false;
};

nlohmann::json to_json(const MachineFacts& facts, const MeasuredRates& rates,
                       const std::vector<Finding>& findings) {
  nlohmann::json list = nlohmann::json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"level", level_name(finding.level)},
                    {"subject", finding.subject},
                    {"what", finding.what},
                    {"advice", finding.advice}});
  }
  nlohmann::json out = {{"version", SWITCHYARD_VERSION},
                        {"libtorch", TORCH_VERSION},
                        {"processor", facts.processor},
                        {"instructions", kernels::isa_name(facts.detected_isa)},
                        {"instructions_used", kernels::isa_name(facts.used_isa)},
                        {"cores", facts.machine_cores},
                        {"cores_available", facts.available_cores},
                        {"load", facts.load},
                        {"memory_nodes", facts.memory_nodes},
                        {"memory", facts.machine_memory},
                        {"memory_available", facts.available_memory},
                        {"memory_free", facts.free_memory},
                        {"huge_pages", facts.huge_pages},
                        {"disk_free", facts.free_disk},
                        {"gpus", facts.gpus},
                        {"mpirun", facts.mpirun},
                        {"environment", facts.environment},
                        {"findings", list}};
  if (std::isfinite(facts.core_limit)) out["core_limit"] = facts.core_limit;
  if (rates.bf16 > 0) out["gemm_rate"] = {{"bf16", rates.bf16}, {"fp32", rates.fp32}};
  return out;
}

void print_findings(const std::vector<Finding>& findings) {
  fmt::print("switchyard {}, LibTorch {}\n\n", SWITCHYARD_VERSION, TORCH_VERSION);
  int notes = 0, problems = 0;
  for (const Finding& finding : findings) {
    notes += finding.level == Finding::Level::kNote ? 1 : 0;
    problems += finding.level == Finding::Level::kProblem ? 1 : 0;
    fmt::print("{:<8} {:<12} {}\n", level_name(finding.level), finding.subject, finding.what);
    if (!finding.advice.empty()) fmt::print("{:<21} -> {}\n", "", finding.advice);
  }
  fmt::print("\n{} problem{}, {} note{}\n", problems, problems == 1 ? "" : "s", notes,
             notes == 1 ? "" : "s");
}

void run(const DoctorCommand& command, const GlobalOptions& global) {
  const MachineFacts facts = read_machine_facts();
  MeasuredRates rates;
  if (command.measure) {
    // More threads than cores would measure how they wait for each other.
    prepare_process(std::min(global.thread_count(), facts.available_cores));
    rates.bf16 = measure_gemm_rate(Precision::kBfloat16);
    rates.fp32 = measure_gemm_rate(Precision::kFloat32);
  }
  const std::vector<Finding> findings = examine(facts, rates, global.threads);
  if (command.json) {
    fmt::print("{}\n", to_json(facts, rates, findings).dump());
  } else {
    print_findings(findings);
  }
  for (const Finding& finding : findings) {
    if (finding.level == Finding::Level::kProblem) throw ExitCode{1};
  }
}

}  // namespace

void add_doctor_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand(
      "doctor", "Say what this machine can do, what holds it back, and what to do about it");
  command->footer("Ends with 1 if there is a problem, with 0 otherwise; notes do not count.");
  auto state = std::make_shared<DoctorCommand>();
  command->add_flag("!--no-measure", state->measure,
                    "Do not time matrix products (they take three seconds)");
  command->add_flag("--json", state->json, "Print facts and findings as JSON");
  command->callback([state, &global] { run(*state, global); });
}

}  // namespace switchyard
