#include "doctor/machine_facts.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "base/cgroup.h"
#include "base/machine.h"
#include "base/threads.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

// Variables that change how fast LibTorch, OpenMP, oneDNN or this program run.
constexpr std::array kVariables = {
    "SWITCHYARD_ISA",   "OMP_NUM_THREADS",     "OMP_PROC_BIND",   "OMP_PLACES",
    "OMP_WAIT_POLICY",  "GOMP_CPU_AFFINITY",   "MKL_NUM_THREADS", "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "LD_PRELOAD",
};

/// The bytes of a line "Name:   123 kB" of /proc/meminfo; 0 if it is not there.
uint64_t memory_line(const std::string& proc, const std::string& name) {
  std::ifstream file(proc + "/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) {
      return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
    }
  }
  return 0;
}

double load_of_last_minute(const std::string& proc) {
  double load = 0;
  std::ifstream(proc + "/loadavg") >> load;
  return load;
}

/// The word in brackets of "always [madvise] never".
std::string huge_page_mode(const std::string& sys) {
  std::ifstream file(sys + "/kernel/mm/transparent_hugepage/enabled");
  std::string line;
  std::getline(file, line);
  const size_t open = line.find('['), close = line.find(']');
  if (open == std::string::npos || close == std::string::npos || close < open) return {};
  return line.substr(open + 1, close - open - 1);
}

int count_memory_nodes(const std::string& sys) {
  int nodes = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(sys + "/devices/system/node", ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("node") && name.find_first_not_of("0123456789", 4) == std::string::npos) {
      ++nodes;
    }
  }
  return std::max(nodes, 1);
}

/// NVIDIA's driver lists each GPU in a folder with a line "Model: name".
std::vector<std::string> gpu_models(const std::string& proc) {
  std::vector<std::string> models;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(proc + "/driver/nvidia/gpus", ignored)) {
    std::ifstream file(entry.path() / "information");
    for (std::string line; std::getline(file, line);) {
      if (!line.starts_with("Model:")) continue;
      const size_t begin = line.find_first_not_of(" \t", 6);
      models.push_back(begin == std::string::npos ? "unnamed" : line.substr(begin));
    }
  }
  return models;
}

/// The first executable of this name in a list of folders like $PATH.
std::string find_program(const char* name, const char* path) {
  std::istringstream folders(path != nullptr ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string program = folder + "/" + name;
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return {};
}

}  // namespace

MachineFacts read_machine_facts(const FactSources& sources) {
  const auto variable = [&](const char* name) {
    return sources.environment ? sources.environment(name) : std::getenv(name);
  };
  MachineFacts facts;
  facts.processor = processor_name();
  facts.detected_isa = kernels::detected_isa();
  facts.used_isa = kernels::best_isa();
  facts.machine_cores = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  facts.available_cores = available_cores();
  facts.core_limit = cgroup_core_limit();
  facts.load = load_of_last_minute(sources.proc);
  facts.memory_nodes = count_memory_nodes(sources.sys);
  facts.machine_memory = memory_line(sources.proc, "MemTotal");
  facts.available_memory = available_memory();
  facts.free_memory = memory_line(sources.proc, "MemAvailable");
  facts.huge_pages = huge_page_mode(sources.sys);
  struct statvfs disk {};
  if (::statvfs(sources.folder.c_str(), &disk) == 0) {
    facts.free_disk = static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize;
  }
  facts.folder_is_writable = ::access(sources.folder.c_str(), W_OK) == 0;
  facts.mpirun = find_program("mpirun", variable("PATH"));
  facts.gpus = gpu_models(sources.proc);
  for (const char* name : kVariables) {
    if (const char* value = variable(name)) facts.environment[name] = value;
  }
  return facts;
}

}  // namespace switchyard
