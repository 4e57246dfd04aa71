#include "base/field_list.h"

#include <toml++/toml.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"

namespace switchyard {
namespace {

/// A JSON string is a TOML string too, but for DEL, which TOML wants escaped.
std::string quote(const std::string& text) {
  std::string quoted =
      nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  for (size_t at = quoted.find('\x7F'); at != std::string::npos; at = quoted.find('\x7F', at)) {
    quoted.replace(at, 1, "\\u007F");
  }
  return quoted;
}

// Shortest text that reads back as the same double, always recognisable as a float.
std::string number_text(double value) {
  std::string text = fmt::format("{}", value);
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string kind_name(const Field& field) {
  switch (field.value.index()) {
    case 0:
      return "true or false";
    case 1:
      return "an integer";
    case 2:
      return "a number";
    case 3:
      return "text";
    default:
      return "a path, or a table of path = weight";
  }
}

void check_range(const Field& field, double value, const std::string& where) {
  if (!(value >= field.minimum && value <= field.maximum)) {
    throw usage_error(format("{} = {} is out of range", field.key, value), where,
                      format("give a value from {} to {}", field.minimum, field.maximum));
  }
}

void assign_text(Field& field, const std::string& text, const std::string& where) {
  if (!field.choices.empty() &&
      std::find(field.choices.begin(), field.choices.end(), text) == field.choices.end()) {
    const std::string near = nearest_name(text, field.choices);
    throw usage_error(
        format("{} = \"{}\" is not known", field.key, text), where,
        format("{}choose one of: {}", near.empty() ? "" : format("did you mean \"{}\"? ", near),
               fmt::join(field.choices, ", ")));
  }
  *std::get<std::string*>(field.value) = text;
}

std::string place(const std::string& source, const toml::node& node) {
  const auto line = node.source().begin.line;
  return line > 0 ? format("{}:{}", source, line) : source;
}

void add_path(Field& field, const std::string& path, double weight, const std::string& where) {
  if (!(weight > 0) || std::isinf(weight)) {
    throw usage_error(format("{}.\"{}\" needs a weight above 0", field.key, path), where,
                      "give a number above 0");
  }
  std::get<WeightedPaths*>(field.value)->emplace_back(path, weight);
}

void assign(Field& field, const toml::node& node, const std::string& where) {
  const auto wrong_type = [&] {
    return usage_error(format("{} has the wrong type", field.key), where,
                       format("give {}", kind_name(field)));
  };
  if (auto* flag = std::get_if<bool*>(&field.value)) {
    const auto value = node.value_exact<bool>();
    if (!value) throw wrong_type();
    **flag = *value;
  } else if (auto* integer = std::get_if<int64_t*>(&field.value)) {
    const auto value = node.value_exact<int64_t>();
    if (!value) throw wrong_type();
    check_range(field, static_cast<double>(*value), where);
    **integer = *value;
  } else if (auto* number = std::get_if<double*>(&field.value)) {
    if (!node.is_number()) throw wrong_type();
    const double value = *node.value<double>();
    check_range(field, value, where);
    **number = value;
  } else if (std::holds_alternative<std::string*>(field.value)) {
    const auto value = node.value_exact<std::string>();
    if (!value) throw wrong_type();
    assign_text(field, *value, where);
  } else {
    auto& paths = *std::get<WeightedPaths*>(field.value);
    paths.clear();
    if (const auto value = node.value_exact<std::string>()) {
      if (!value->empty()) paths.emplace_back(*value, 1.0);
      return;
    }
    const toml::table* table = node.as_table();
    if (!table) throw wrong_type();
    for (const auto& [path, weight] : *table) {
      const double value = weight.is_number() ? *weight.value<double>() : 0;
      add_path(field, std::string(path.str()), value, where);
    }
  }
}

nlohmann::ordered_json* child_of(nlohmann::ordered_json& root, const std::string& key) {
  nlohmann::ordered_json* at = &root;
  std::istringstream parts(key);
  for (std::string part; std::getline(parts, part, '.');) at = &(*at)[part];
  return at;
}

}  // namespace

std::string Field::to_toml() const {
  if (auto* flag = std::get_if<bool*>(&value)) return **flag ? "true" : "false";
  if (auto* integer = std::get_if<int64_t*>(&value)) return std::to_string(**integer);
  if (auto* number = std::get_if<double*>(&value)) return number_text(**number);
  if (auto* text = std::get_if<std::string*>(&value)) return quote(**text);
  const WeightedPaths& paths = **std::get_if<WeightedPaths*>(&value);
  if (paths.empty()) return "\"\"";
  if (paths.size() == 1 && paths[0].second == 1.0) return quote(paths[0].first);
  std::string text = "{ ";
  for (size_t i = 0; i < paths.size(); ++i) {
    text += (i ? ", " : "") + quote(paths[i].first) + " = " + number_text(paths[i].second);
  }
  return text + " }";
}

void FieldList::add(Field field, const std::string& name) {
  field.key = prefix_ + name;
  fields_.push_back(std::move(field));
}

void FieldList::flag(const std::string& name, bool* value, const std::string& help) {
  add({{}, value, 0, 0, {}, help}, name);
}
void FieldList::integer(const std::string& name, int64_t* value, int64_t minimum, int64_t maximum,
                        const std::string& help) {
  add({{}, value, static_cast<double>(minimum), static_cast<double>(maximum), {}, help}, name);
}
void FieldList::number(const std::string& name, double* value, double minimum, double maximum,
                       const std::string& help) {
  add({{}, value, minimum, maximum, {}, help}, name);
}
void FieldList::text(const std::string& name, std::string* value, const std::string& help) {
  add({{}, value, 0, 0, {}, help}, name);
}
void FieldList::choice(const std::string& name, std::string* value,
                       std::vector<std::string> choices, const std::string& help) {
  add({{}, value, 0, 0, std::move(choices), help}, name);
}
void FieldList::paths(const std::string& name, WeightedPaths* value, const std::string& help) {
  add({{}, value, 0, 0, {}, help}, name);
}

const Field* FieldList::find(const std::string& key) const {
  for (const Field& field : fields_) {
    if (field.key == key) return &field;
  }
  return nullptr;
}

Field& FieldList::known(const std::string& key, const std::string& where) {
  if (const Field* field = find(key)) return const_cast<Field&>(*field);
  std::vector<std::string> names;  // of fields and of the sections around them
  for (const Field& field : fields_) {
    names.push_back(field.key);
    for (size_t dot = field.key.find('.'); dot != std::string::npos;
         dot = field.key.find('.', dot + 1)) {
      names.push_back(field.key.substr(0, dot));
    }
  }
  const std::string near = nearest_name(key, names);
  throw usage_error(format("unknown key '{}'", key), where,
                    near.empty() ? "`switchyard train --print-recipe` lists the keys of recipes, "
                                   "docs/tasks.md those of tasks"
                                 : format("did you mean '{}'?", near));
}

void FieldList::read_toml_file(const std::string& path) { read_toml(read_file(path), path); }

void FieldList::read_toml(const std::string& text, const std::string& source) {
  toml::table table;
  try {
    table = toml::parse(text, source);
  } catch (const toml::parse_error& error) {
    throw usage_error(std::string(error.description()),
                      format("{}:{}", source, error.source().begin.line), "mend the TOML");
  }
  using Walk = std::function<void(const toml::table&, const std::string&)>;
  const Walk walk = [&](const toml::table& at, const std::string& prefix) {
    for (const auto& [name, node] : at) {
      const std::string key = prefix + std::string(name.str());
      const Field* field = find(key);
      if (const toml::table* inner = node.as_table(); inner && !field) {
        const bool section = std::any_of(fields_.begin(), fields_.end(), [&](const Field& f) {
          return f.key.starts_with(key + ".");
        });
        if (section) {
          walk(*inner, key + ".");
          continue;
        }
      }
      assign(known(key, place(source, node)), node, place(source, node));
    }
  };
  walk(table, "");
}

void FieldList::set(const std::string& assignment) {
  const std::string where = "--set " + assignment;
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos) {
    throw usage_error("no '=' in an override", where, "write --set section.key=value");
  }
  const std::string key = assignment.substr(0, equals);
  const std::string value = assignment.substr(equals + 1);
  Field& field = known(key, where);
  if (std::holds_alternative<std::string*>(field.value) && !value.starts_with('"')) {
    assign_text(field, value, where);
    return;
  }
  if (std::holds_alternative<WeightedPaths*>(field.value) && !value.starts_with('"') &&
      !value.starts_with('{')) {
    WeightedPaths& paths = *std::get<WeightedPaths*>(field.value);
    paths.clear();
    if (!value.empty()) paths.emplace_back(value, 1.0);
    return;
  }
  toml::table table;
  try {
    table = toml::parse("value = " + value);
  } catch (const toml::parse_error&) {
    table.clear();
  }
  if (table.size() != 1) {  // a line break in the value could bring more
    throw usage_error(format("{} has the wrong type", key), where,
                      format("give {}", kind_name(field)));
  }
  assign(field, *table.get("value"), where);
}

void FieldList::read_json(const nlohmann::json& object, const std::string& source,
                          bool ignore_unknown) {
  using Walk = std::function<void(const nlohmann::json&, const std::string&)>;
  const Walk walk = [&](const nlohmann::json& at, const std::string& prefix) {
    for (const auto& [name, node] : at.items()) {
      const std::string key = prefix + name;
      const Field* found = find(key);
      if (node.is_object() && !found) {
        walk(node, key + ".");
        continue;
      }
      if (!found && ignore_unknown) continue;
      Field& field = known(key, source);
      const auto wrong_type = [&] {
        return usage_error(format("{} has the wrong type", key), source,
                           format("give {}", kind_name(field)));
      };
      if (auto* flag = std::get_if<bool*>(&field.value)) {
        if (!node.is_boolean()) throw wrong_type();
        **flag = node.get<bool>();
      } else if (auto* integer = std::get_if<int64_t*>(&field.value)) {
        if (!node.is_number_integer()) throw wrong_type();
        check_range(field, node.get<double>(), source);
        **integer = node.get<int64_t>();
      } else if (auto* number = std::get_if<double*>(&field.value)) {
        if (!node.is_number()) throw wrong_type();
        check_range(field, node.get<double>(), source);
        **number = node.get<double>();
      } else if (std::holds_alternative<std::string*>(field.value)) {
        if (!node.is_string()) throw wrong_type();
        assign_text(field, node.get<std::string>(), source);
      } else {
        std::get<WeightedPaths*>(field.value)->clear();
        if (!node.is_object()) throw wrong_type();
        for (const auto& [path, weight] : node.items()) {
          add_path(field, path, weight.is_number() ? weight.get<double>() : 0, source);
        }
      }
    }
  };
  if (!object.is_object()) throw usage_error("a JSON object was expected", source);
  walk(object, "");
}

std::string FieldList::to_toml(bool with_help) const {
  std::string text, section;
  for (const Field& field : fields_) {
    const size_t dot = field.key.rfind('.');
    const std::string own = dot == std::string::npos ? "" : field.key.substr(0, dot);
    if (own != section) {
      text += format("{}[{}]\n", text.empty() ? "" : "\n", own);
      section = own;
    }
    const std::string name = dot == std::string::npos ? field.key : field.key.substr(dot + 1);
    const std::string line = format("{} = {}", name, field.to_toml());
    if (!with_help) {
      text += line + "\n";
      continue;
    }
    std::string help = field.help;
    if (!field.choices.empty()) help += format(" ({})", fmt::join(field.choices, ", "));
    text += format("{:<34} # {}\n", line, help);
  }
  return text;
}

nlohmann::json FieldList::to_json() const {
  nlohmann::ordered_json root = nlohmann::ordered_json::object();
  for (const Field& field : fields_) {
    nlohmann::ordered_json& at = *child_of(root, field.key);
    if (auto* flag = std::get_if<bool*>(&field.value)) at = **flag;
    if (auto* integer = std::get_if<int64_t*>(&field.value)) at = **integer;
    if (auto* number = std::get_if<double*>(&field.value)) at = **number;
    if (auto* text = std::get_if<std::string*>(&field.value)) at = **text;
    if (auto* paths = std::get_if<WeightedPaths*>(&field.value)) {
      at = nlohmann::ordered_json::object();
      for (const auto& [path, weight] : **paths) at[path] = weight;
    }
  }
  return root;
}

}  // namespace switchyard
