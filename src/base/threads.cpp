#include "base/threads.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/cgroup.h"

namespace switchyard {

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  if (::sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
  const double limit = cgroup_core_limit();
  if (limit < cores) cores = static_cast<int>(std::ceil(limit));
  return std::max(cores, 1);
}

unsigned long long available_memory() {
  const auto pages = static_cast<unsigned long long>(::sysconf(_SC_PHYS_PAGES));
  const unsigned long long bytes =
      pages * static_cast<unsigned long long>(::sysconf(_SC_PAGE_SIZE));
  return std::min<unsigned long long>(bytes, cgroup_memory_limit());
}

unsigned long long peak_memory() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<unsigned long long>(usage.ru_maxrss) * 1024;
}

}  // namespace switchyard
