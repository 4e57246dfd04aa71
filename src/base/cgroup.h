// Limits that control groups (versions 1 and 2) put on this process.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard {

/// Where to look; tests look elsewhere.
struct CgroupFiles {
  std::string root = "/sys/fs/cgroup";
  std::string membership = "/proc/self/cgroup";
};

/// Cores' worth of processor time: the tightest limit of the process's group and of all groups
/// around it; infinity without one. Never throws.
double cgroup_core_limit(const CgroupFiles& files = {});

/// Bytes of memory, likewise; the largest uint64_t without a limit.
uint64_t cgroup_memory_limit(const CgroupFiles& files = {});

}  // namespace switchyard
