// Several languages at once: prepared data of its own for each.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "data/prepare.h"

namespace switchyard {

struct PreparedLanguage {
  std::string name;
  bool was_ready = false;  // made by an earlier call; `summary` then holds what its files say
  PrepareSummary summary;
};

/// Prepares each group of inputs (data/input_groups.h) in options.output/NAME, one after the other,
/// as prepare() does. What an earlier call with these inputs and options has completed stays, so
/// that the same command goes on after an interruption; files that are newer are prepared again
/// only with options.overwrite. `progress` is told the name. Throws as group_inputs() and
/// prepare().
std::vector<PreparedLanguage> prepare_each(
    const PrepareOptions& options,
    const std::function<void(const std::string& name, const PrepareProgress&)>& progress = {});

/// Summaries by name.
nlohmann::ordered_json languages_json(const std::vector<PreparedLanguage>& languages);

}  // namespace switchyard
