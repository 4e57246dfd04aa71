#include "data/input_groups.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"

namespace switchyard {
namespace {

std::string name_of(const std::string& input) {
  std::filesystem::path path = std::filesystem::path(input).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  const std::string last = path.filename().string();
  const std::string name = last.substr(0, last.find('.'));
  if (name.empty() || input == "-") {
    throw usage_error("an input whose name says no language", input,
                      "name files or folders, as de.jsonl or text/de");
  }
  return name;
}

}  // namespace

std::vector<InputGroup> group_inputs(const std::vector<std::string>& inputs) {
  std::vector<InputGroup> groups;
  for (const std::string& input : inputs) {
    const std::string name = name_of(input);
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const InputGroup& other) { return other.name == name; });
    if (group == groups.end()) group = groups.insert(groups.end(), {name, {}});
    group->inputs.push_back(input);
  }
  return groups;
}

}  // namespace switchyard
