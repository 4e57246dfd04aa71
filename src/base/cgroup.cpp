#include "base/cgroup.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>

namespace switchyard {
namespace {

/// Calls `use` with each folder that may limit `controller` ("cpu", "memory"): the process's group
/// and all above it. A line of the membership file is `number:controllers:path`; version 2 names no
/// controllers. Inside a container the path may be the host's: only the root exists then.
void for_each_group(const CgroupFiles& files, const std::string& controller,
                    const std::function<void(const std::string& folder)>& use) {
  const auto climb = [&](const std::string& top, std::string path) {
    while (!path.empty() && path != "/") {
      use(top + path);
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
    use(top);
  };
  climb(files.root, "");
  climb(files.root + "/" + controller, "");
  std::ifstream membership(files.membership);
  for (std::string line; std::getline(membership, line);) {
    std::istringstream parts(line);
    std::string number, controllers, path;
    if (!std::getline(parts, number, ':') || !std::getline(parts, controllers, ':')) continue;
    std::getline(parts, path);
    if (controllers.empty()) climb(files.root, path);
    if (("," + controllers + ",").find("," + controller + ",") != std::string::npos) {
      climb(files.root + "/" + controller, path);
    }
  }
}

/// "max 100000" or "200000 100000": microseconds of every period.
double version_2_cores(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  double quota = 0, period = 0;
  if (file >> quota >> period && quota > 0 && period > 0) return quota / period;
  return std::numeric_limits<double>::infinity();
}

double version_1_cores(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us");
  std::ifstream period_file(folder + "/cpu.cfs_period_us");
  double quota = 0, period = 0;  // a quota of -1: no limit
  if (quota_file >> quota && period_file >> period && quota > 0 && period > 0) {
    return quota / period;
  }
  return std::numeric_limits<double>::infinity();
}

}  // namespace

double cgroup_core_limit(const CgroupFiles& files) {
  double cores = std::numeric_limits<double>::infinity();
  for_each_group(files, "cpu", [&](const std::string& folder) {
    cores = std::min({cores, version_2_cores(folder), version_1_cores(folder)});
  });
  return cores;
}

uint64_t cgroup_memory_limit(const CgroupFiles& files) {
  uint64_t bytes = std::numeric_limits<uint64_t>::max();
  for_each_group(files, "memory", [&](const std::string& folder) {
    for (const char* name : {"/memory.max", "/memory.limit_in_bytes"}) {
      uint64_t limit = 0;  // "max" does not parse
      if (std::ifstream file(folder + name); file >> limit) bytes = std::min(bytes, limit);
    }
  });
  return bytes;
}

}  // namespace switchyard
