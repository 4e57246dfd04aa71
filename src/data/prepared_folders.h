// Which prepared data the paths of a recipe mean, and what each source is called.
#pragma once

#include <string>
#include <vector>

#include "base/field_list.h"

namespace switchyard {

struct PreparedSource {
  std::string name;    // short, and another one for each source: "de" of "languages/de/train"
  std::string folder;  // prepared data, or what was taken for it: opening it says more
  double weight = 1;
};

/// Prepared data stands for itself. A folder that holds prepared languages, as `switchyard prepare
/// --each` makes them, stands for the `split` ("train" or "validation") of each that has it, by
/// name, all with the folder's weight. Throws Error(kUsage) for a source that is named twice.
std::vector<PreparedSource> find_prepared(const WeightedPaths& paths, const std::string& split);

}  // namespace switchyard
