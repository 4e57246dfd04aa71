// Inputs by language: files and folders whose names begin alike belong together.
#pragma once

#include <string>
#include <vector>

namespace switchyard {

struct InputGroup {
  std::string name;
  std::vector<std::string> inputs;
};

/// The name of an input is the last part of its path up to the first dot: "de" of
/// "text/de.part1.jsonl.zst" and of "text/de/". Groups in the order in which their first inputs
/// come. Throws Error(kUsage) for an input without such a name, standard input among them.
std::vector<InputGroup> group_inputs(const std::vector<std::string>& inputs);

}  // namespace switchyard
