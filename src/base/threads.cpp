#include "base/threads.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>

namespace switchyard {
namespace {

// Cgroup v2 keeps "max 100000" or "200000 100000" in one file; v1 has two files.
double cgroup_cores() {
  std::string quota_text;
  double period = 0;
  if (std::ifstream file("/sys/fs/cgroup/cpu.max"); file >> quota_text >> period) {
    if (quota_text != "max" && period > 0) return std::stod(quota_text) / period;
    return std::numeric_limits<double>::infinity();
  }
  double quota = -1;
  std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (quota_file >> quota && period_file >> period && quota > 0 && period > 0) return quota / period;
  return std::numeric_limits<double>::infinity();
}

}  // namespace

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  if (::sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
  const double limit = cgroup_cores();
  if (limit < cores) cores = static_cast<int>(std::ceil(limit));
  return std::max(cores, 1);
}

unsigned long long available_memory() {
  const auto pages = static_cast<unsigned long long>(::sysconf(_SC_PHYS_PAGES));
  unsigned long long bytes = pages * static_cast<unsigned long long>(::sysconf(_SC_PAGE_SIZE));
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    unsigned long long limit = 0;
    if (std::ifstream file(path); file >> limit) bytes = std::min(bytes, limit);
  }
  return bytes;
}

unsigned long long peak_memory() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<unsigned long long>(usage.ru_maxrss) * 1024;
}

}  // namespace switchyard
