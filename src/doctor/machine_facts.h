// What can be known about a machine without loading it: read from /proc, /sys and the environment.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "kernels/cpu_features.h"

namespace switchyard {

/// Where to look; tests look elsewhere.
struct FactSources {
  std::string proc = "/proc";
  std::string sys = "/sys";
  std::string folder = ".";                             // whose disk is looked at
  std::function<const char*(const char*)> environment;  // empty: the process's own
};

struct MachineFacts {
  std::string processor;  // as the kernel names it
  kernels::Isa detected_isa = kernels::Isa::kGeneric;
  kernels::Isa used_isa = kernels::Isa::kGeneric;  // lower where SWITCHYARD_ISA asks for it
  int machine_cores = 0;                           // online
  int available_cores = 0;                         // of these, what this process may use
  double core_limit = std::numeric_limits<double>::infinity();  // processor time, by control groups
  double load = 0;                // runnable tasks, mean of the last minute
  int memory_nodes = 1;           // NUMA
  uint64_t machine_memory = 0;    // bytes
  uint64_t available_memory = 0;  // bytes this process may use, its control group's limit
  uint64_t free_memory = 0;       // bytes that programs can get now
  std::string huge_pages;         // transparent ones: "always", "madvise", "never" or ""
  uint64_t free_disk = 0;         // bytes, in FactSources::folder
  bool folder_is_writable = false;
  std::string mpirun;                              // its path, or ""
  std::vector<std::string> gpus;                   // NVIDIA models, one entry each
  std::map<std::string, std::string> environment;  // of the variables that change speed, those set
};

/// Never throws for what is missing: such a fact keeps its default. Throws a usage Error when
/// SWITCHYARD_ISA names nothing.
MachineFacts read_machine_facts(const FactSources& sources = {});

}  // namespace switchyard
