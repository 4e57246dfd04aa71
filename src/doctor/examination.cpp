#include "doctor/examination.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/format.h"
#include "base/progress.h"

namespace switchyard {
namespace {

using Level = Finding::Level;

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kLeastMemory = 2 * kGiB;  // the quickstart takes 0.5 GiB, its build 2
constexpr uint64_t kLeastDisk = 4 * kGiB;    // set-up, build and the quickstart's runs
constexpr double kBusy = 0.25;               // of the cores: other work that a benchmark feels
constexpr double kPays = 1.1;                // bfloat16 rate / float32 rate

/// Collects findings; one function below for each subject.
class Findings {
 public:
  void good(const std::string& subject, std::string what) {
    add(Level::kGood, subject, std::move(what), "");
  }
  void note(const std::string& subject, std::string what, std::string advice) {
    add(Level::kNote, subject, std::move(what), std::move(advice));
  }
  void problem(const std::string& subject, std::string what, std::string advice) {
    add(Level::kProblem, subject, std::move(what), std::move(advice));
  }
  std::vector<Finding> take() { return std::move(all_); }

 private:
  void add(Level level, const std::string& subject, std::string what, std::string advice) {
    all_.push_back({level, subject, std::move(what), std::move(advice)});
  }
  std::vector<Finding> all_;
};

std::string in_bytes(uint64_t bytes) { return format_bytes(static_cast<double>(bytes)); }

void examine_processor(const MachineFacts& facts, Findings& findings) {
  const std::string name = facts.processor;
  switch (facts.detected_isa) {
    case kernels::Isa::kAmxBf16:
      findings.good("processor", format("{}: bfloat16 in AMX tiles, the fastest there is", name));
      break;
    case kernels::Isa::kAvx512Bf16:
      findings.good("processor", format("{}: AVX-512 with bfloat16 dot products", name));
      break;
    case kernels::Isa::kAvx2:
      findings.note("processor", format("{}: AVX2, no bfloat16 instructions", name),
                    "train and decode in float32: --set train.precision=fp32, --precision fp32");
      break;
    case kernels::Isa::kGeneric:
      findings.problem("processor", format("{}: no AVX2, so everything is slow", name),
                       "use a processor of 2015 or newer, or a virtual machine that passes its "
                       "processor's features on");
      break;
  }
  if (facts.used_isa != facts.detected_isa) {
    findings.note(
        "processor",
        format("SWITCHYARD_ISA holds the kernels to {}", kernels::isa_name(facts.used_isa)),
        "unset SWITCHYARD_ISA, unless it is there to compare");
  }
}

void examine_rates(const MachineFacts& facts, const MeasuredRates& rates, Findings& findings) {
  if (rates.bf16 <= 0 || rates.fp32 <= 0) return;
  const double ratio = rates.bf16 / rates.fp32;
  const std::string measured = format(
      "matrix products reach {:.3f} TFLOP/s in bfloat16 and {:.3f} in "
      "float32, {:.1f} times",
      rates.bf16 * 1e-12, rates.fp32 * 1e-12, ratio);
  if (ratio >= kPays) {
    findings.good("speed", measured);
  } else if (facts.detected_isa >= kernels::Isa::kAvx512Bf16) {
    findings.note("speed", measured,
                  "bfloat16 does not pay here as it is: --set train.precision=fp32, unless a "
                  "variable above or "
                  "other work explains it");
  } else {
    findings.note("speed", measured, "bfloat16 does not pay here: --set train.precision=fp32");
  }
}

void examine_cores(const MachineFacts& facts, int threads, Findings& findings) {
  const std::string limit = std::isfinite(facts.core_limit)
                                ? format(" (control group: {:.2f} cores of time)", facts.core_limit)
                                : "";
  const std::string count =
      format("{} of {} cores available{}", facts.available_cores, facts.machine_cores, limit);
  if (facts.available_cores == 1) {
    findings.note("cores", count,
                  "with one core, loading data and training take turns; two do better");
  } else {
    findings.good("cores", count);
  }
  if (std::isfinite(facts.core_limit) && facts.core_limit < facts.available_cores) {
    findings.note("cores",
                  format("{} threads share {:.2f} cores of time, so they wait for each other",
                         facts.available_cores, facts.core_limit),
                  format("--threads {}, or a whole number of cores as the limit",
                         std::max(1, static_cast<int>(facts.core_limit))));
  }
  if (threads > facts.available_cores) {
    findings.problem(
        "cores",
        format("--threads {} asks for more than the {} available cores, and threads that "
               "wait for each other crawl",
               threads, facts.available_cores),
        "leave --threads out");
  }
  if (facts.load > kBusy * facts.available_cores) {
    findings.note("cores", format("other work is running: load {:.2f}", facts.load),
                  "measure when the machine is quiet; training goes on, slower");
  }
  if (facts.memory_nodes > 1) {
    findings.note(
        "cores", format("{} memory nodes (NUMA)", facts.memory_nodes),
        "one run per node is fastest: numactl --cpunodebind=0 --membind=0 switchyard ...");
  }
}

void examine_memory(const MachineFacts& facts, Findings& findings) {
  const std::string sizes =
      format("{} for this process of {}, {} free now", in_bytes(facts.available_memory),
             in_bytes(facts.machine_memory), in_bytes(facts.free_memory));
  if (std::min(facts.available_memory, facts.free_memory) < kLeastMemory) {
    findings.problem(
        "memory", sizes,
        format("the build and small models need {}: end other programs or raise the limit",
               in_bytes(kLeastMemory)));
  } else {
    findings.good("memory", sizes);
  }
  if (facts.huge_pages == "always") {
    findings.good("memory", "transparent huge pages: always");
  } else if (!facts.huge_pages.empty()) {
    findings.note("memory", format("transparent huge pages: {}", facts.huge_pages),
                  "large models may gain from: echo always > "
                  "/sys/kernel/mm/transparent_hugepage/enabled (as root)");
  }
}

void examine_disk(const MachineFacts& facts, Findings& findings) {
  if (!facts.folder_is_writable) {
    findings.problem("disk", "this folder cannot be written to", "go to one that can");
  }
  if (facts.free_disk < kLeastDisk) {
    findings.note("disk", format("{} free in this folder", in_bytes(facts.free_disk)),
                  format("set-up, build and the quickstart take {}; a checkpoint takes 4 bytes per "
                         "parameter with Adafactor, 8 with its momentum, 12 with AdamW",
                         in_bytes(kLeastDisk)));
  } else {
    findings.good("disk", format("{} free in this folder", in_bytes(facts.free_disk)));
  }
}

void examine_environment(const MachineFacts& facts, Findings& findings) {
  bool quiet = facts.used_isa == facts.detected_isa;
  const auto note = [&](const char* name, const std::string& effect, const std::string& advice) {
    const auto found = facts.environment.find(name);
    if (found == facts.environment.end()) return;
    quiet = false;
    findings.note("environment", format("{}={} {}", name, found->second, effect), advice);
  };
  for (const char* name : {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}) {
    note(name, "has no effect on this program", "use --threads");
  }
  for (const char* name : {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"}) {
    note(name, "ties threads to cores: two runs may fight for the same ones",
         "unset it, or give each run cores of its own");
  }
  note("OMP_WAIT_POLICY", "decides whether threads spin while they wait",
       "passive where other programs run too, else unset");
  for (const char* name : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"}) {
    note(name, "holds LibTorch to older instructions", "unset it");
  }
  const auto preload = facts.environment.find("LD_PRELOAD");
  const auto brings = [&](const char* library) {
    return preload != facts.environment.end() && preload->second.find(library) != std::string::npos;
  };
  if (brings("libomp") || brings("libiomp") || brings("libgomp")) {
    quiet = false;
    findings.problem(
        "environment",
        format("LD_PRELOAD={} brings a second OpenMP into the process", preload->second),
        "unset it: two of them fight for the cores, or crash");
  }
  if (quiet) findings.good("environment", "no variable that slows the program down");
}

void examine_others(const MachineFacts& facts, Findings& findings) {
  if (facts.gpus.empty()) {
    findings.good("GPU", "none");
  } else {
    findings.note("GPU", format("{} x {}", facts.gpus.size(), facts.gpus.front()),
                  "this version computes on processors only");
  }
  findings.good("MPI", facts.mpirun.empty()
                           ? "no mpirun; this version runs as one process"
                           : format("{}; this version runs as one process and does "
                                    "not use it",
                                    facts.mpirun));
}

}  // namespace

const char* level_name(Finding::Level level) {
  switch (level) {
    case Level::kGood:
      return "ok";
    case Level::kNote:
      return "note";
    case Level::kProblem:
      break;
  }
  return "problem";
}

std::vector<Finding> examine(const MachineFacts& facts, const MeasuredRates& rates, int threads) {
  Findings findings;
  examine_processor(facts, findings);
  examine_cores(facts, threads, findings);
  examine_memory(facts, findings);
  examine_environment(facts, findings);
  examine_disk(facts, findings);
  examine_others(facts, findings);
  examine_rates(facts, rates, findings);
  return findings.take();
}

}  // namespace switchyard
