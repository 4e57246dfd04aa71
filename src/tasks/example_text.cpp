#include "tasks/example_text.h"

#include "base/error.h"
#include "base/format.h"
#include "text/utf8.h"

namespace switchyard {
namespace {

/// Parts between `separator`, which does not count within quotes.
std::vector<std::string_view> split_outside_quotes(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  size_t begin = 0;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (quote != 0) {
      if (text[i] == quote) quote = 0;
    } else if (text[i] == '"') {
      quote = text[i];
    } else if (text[i] == separator) {
      parts.push_back(text.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  parts.push_back(text.substr(begin));
  return parts;
}

FieldRule::Call parse_call(std::string_view text, const std::string& where) {
  const size_t open = text.find('(');
  FieldRule::Call call{&find_step(std::string(trim(text.substr(0, open))), where), {}};
  if (open != text.npos) {
    if (!text.ends_with(')')) throw usage_error(format("'{}' lacks its ')'", text), where);
    for (std::string_view part :
         split_outside_quotes(text.substr(open + 1, text.size() - open - 2), ',')) {
      part = trim(part);
      const bool quoted = part.size() >= 2 && part.front() == '"' && part.back() == '"';
      call.arguments.emplace_back(quoted ? part.substr(1, part.size() - 2) : part);
    }
  }
  if (call.arguments.size() != call.step->arguments) {
    throw usage_error(format("the step '{}' takes {} arguments, not {}", call.step->name,
                             call.step->arguments, call.arguments.size()),
                      where, call.step->help);
  }
  return call;
}

}  // namespace

FieldRule parse_field_rule(std::string_view text, const std::string& where) {
  FieldRule rule;
  const auto parts = split_outside_quotes(text, '|');
  for (const std::string_view path : split_outside_quotes(parts[0], ',')) {
    rule.paths.emplace_back(trim(path), where);
  }
  for (size_t i = 1; i < parts.size(); ++i) rule.calls.push_back(parse_call(trim(parts[i]), where));
  return rule;
}

std::string FieldValues::place(const std::string& field) const {
  return field.empty() ? where_ : format("{}, field {}", where_, field);
}

const nlohmann::json& FieldValues::at(const std::string& field) {
  if (const auto known = values_.find(field); known != values_.end()) return known->second;
  const FieldRule& rule = rules_.at(field);
  std::optional<nlohmann::json> value;
  for (size_t i = 0; i < rule.paths.size() && !value; ++i) value = rule.paths[i].find(scopes_);
  if (!value) {
    std::vector<std::string> names;
    for (const RecordPath& path : rule.paths) names.push_back(path.text());
    throw usage_error(format("nothing at {}", fmt::join(names, " or ")), place(field),
                      "see what the task reads in its [fields]");
  }
  const std::function<std::optional<nlohmann::json>(const std::string&)> look_up =
      [&](const std::string& path) { return RecordPath(path, place(field)).find(scopes_); };
  try {
    for (const FieldRule::Call& call : rule.calls) {
      value = call.step->apply(*value, {call.arguments, labels_, look_up});
    }
  } catch (const Error& error) {
    throw usage_error(error.what_part(), place(field), error.hint_part());
  }
  return values_[field] = std::move(*value);
}

std::string FieldValues::text(const std::string& field) {
  const nlohmann::json& value = at(field);
  try {
    return text_of(value);
  } catch (const Error& error) {
    throw usage_error(error.what_part(), place(field), error.hint_part());
  }
}

std::vector<std::string> FieldValues::texts(const std::string& field) {
  const nlohmann::json& value = at(field);
  if (!value.is_array()) return {text(field)};
  std::vector<std::string> all;
  for (const nlohmann::json& one : value) {
    if (!one.is_string()) throw usage_error("something else than texts in a list", place(field));
    all.push_back(one.get<std::string>());
  }
  if (all.empty()) throw usage_error("an empty list", place(field));
  return all;
}

TextTemplate::TextTemplate(std::string_view text, const std::string& where) : parts_(1) {
  for (size_t i = 0; i < text.size(); ++i) {
    const bool doubled = i + 1 < text.size() && text[i + 1] == text[i];
    if ((text[i] == '{' || text[i] == '}') && doubled) {
      parts_.back() += text[i++];
    } else if (text[i] == '{' && text.find('}', i) != text.npos) {
      const size_t end = text.find('}', i);
      fields_.emplace_back(text.substr(i + 1, end - i - 1));
      parts_.emplace_back();
      i = end;
    } else if (text[i] == '{' || text[i] == '}') {
      throw usage_error("a brace without its partner", where, "write {field}, or {{ for a brace");
    } else {
      parts_.back() += text[i];
    }
  }
}

std::string TextTemplate::fill(FieldValues& values) const {
  std::string text = parts_[0];
  for (size_t i = 0; i < fields_.size(); ++i) text += values.text(fields_[i]) + parts_[i + 1];
  return text;
}

}  // namespace switchyard
