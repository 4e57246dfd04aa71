#include "train/freezing.h"

#include <fnmatch.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

bool is_expert(std::string_view name) { return name.find(".experts.") != name.npos; }

bool meets(const std::string& pattern, const std::string& name) {
  if (pattern == "router") return name.find(".router.") != name.npos;
  if (pattern == "experts") return is_expert(name);
  if (pattern == "all_but_experts") return !is_expert(name);
  if (pattern == "embeddings") return name == "shared.weight" || name == "lm_head.weight";
  return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

std::vector<std::string> split(const std::string& patterns) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= patterns.size();) {
    const size_t comma = std::min(patterns.find(',', begin), patterns.size());
    const std::string part = patterns.substr(begin, comma - begin);
    const size_t first = part.find_first_not_of(' ');
    if (first != part.npos) {
      parts.push_back(part.substr(first, part.find_last_not_of(' ') + 1 - first));
    }
    begin = comma + 1;
  }
  return parts;
}

}  // namespace

ParameterSet& freeze_parameters(const std::string& patterns, ParameterSet& parameters) {
  for (const std::string& pattern : split(patterns)) {
    bool found = false;
    for (Parameter& parameter : parameters.all()) {
      if (!meets(pattern, parameter.name())) continue;
      parameter.freeze();
      found = true;
    }
    if (!found) {
      throw usage_error(format("'{}' meets no parameter", pattern), "train.freeze",
                        "`switchyard inspect MODEL --tensors` lists the names; router, experts, "
                        "all_but_experts and embeddings are groups of them");
    }
  }
  const auto& all = parameters.all();
  if (std::all_of(all.begin(), all.end(), [](const Parameter& p) { return p.frozen(); })) {
    throw usage_error("every parameter is frozen", "train.freeze", "leave some to train");
  }
  return parameters;
}

}  // namespace switchyard
