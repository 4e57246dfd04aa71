// Values of an example's fields, and texts made of them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "tasks/record_path.h"
#include "tasks/steps.h"

namespace switchyard {

/// "path, other path | step | step(argument)": the first path that is there, then the steps.
struct FieldRule {
  std::vector<RecordPath> paths;
  struct Call {
    const Step* step;
    std::vector<std::string> arguments;
  };
  std::vector<Call> calls;
};
/// Throws Error(kUsage) naming `where` for unknown steps, wrong numbers of arguments, bad paths.
FieldRule parse_field_rule(std::string_view text, const std::string& where);

using FieldRules = std::map<std::string, FieldRule>;

/// The fields of one example, worked out when first asked for. Refers to what it is made from.
class FieldValues {
 public:
  FieldValues(const FieldRules& rules, const std::map<std::string, std::string>& labels,
              const Scopes& scopes, std::string where)
      : rules_(rules), labels_(labels), scopes_(scopes), where_(std::move(where)) {}

  /// Throws Error(kUsage) with the place and the field where it is missing or no step can take it.
  const nlohmann::json& at(const std::string& field);
  /// One value of it as text; same errors.
  std::string text(const std::string& field);
  /// A list of texts, or one text; same errors, also for none.
  std::vector<std::string> texts(const std::string& field);
  /// file:line, and the field if there is one.
  std::string place(const std::string& field) const;

 private:
  const FieldRules& rules_;
  const std::map<std::string, std::string>& labels_;
  const Scopes& scopes_;
  std::string where_;
  std::map<std::string, nlohmann::json> values_;
};

/// Text with {field} in it; {{ and }} are braces.
class TextTemplate {
 public:
  TextTemplate() = default;
  /// Throws Error(kUsage) naming `where` for a brace without its partner.
  TextTemplate(std::string_view text, const std::string& where);
  const std::vector<std::string>& fields() const { return fields_; }
  std::string fill(FieldValues& values) const;

 private:
  std::vector<std::string> parts_;  // one more than fields
  std::vector<std::string> fields_;
};

}  // namespace switchyard
