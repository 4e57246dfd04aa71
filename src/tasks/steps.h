// What a task file may do with a value between the record and the text: "lower",
// "choice(answerKey)". A step is a function and a line in steps().
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace switchyard {

struct StepContext {
  const std::vector<std::string>& arguments;
  const std::map<std::string, std::string>& labels;  // of the task
  /// Another value of the example by its path, or nothing.
  const std::function<std::optional<nlohmann::json>(const std::string& path)>& look_up;
};

struct Step {
  std::string name;
  size_t arguments;  // how many it takes
  std::string help;
  /// Throws Error(kUsage) without a place for a value that it cannot work on.
  nlohmann::json (*apply)(const nlohmann::json& value, const StepContext& context);
};

/// All of them, by name.
const std::vector<Step>& steps();
/// Throws Error(kUsage) naming `where` and the nearest name for one that is not known.
const Step& find_step(const std::string& name, const std::string& where);

/// A single value as text: true, 3, 0.5, "text". Throws Error(kUsage) for a list, an object or
/// null.
std::string text_of(const nlohmann::json& value);

/// One space for each run of white space (what \s is in RE2), also at the ends.
std::string collapsed(std::string_view text);

}  // namespace switchyard
