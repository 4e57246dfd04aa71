#include "base/toml_tables.h"

#include <toml++/toml.h>

namespace switchyard {

std::vector<std::string> toml_table_keys(const std::string& text, const std::string& table) {
  std::vector<std::string> keys;
  try {
    const toml::table file = toml::parse(text);
    if (const toml::table* names = file[table].as_table()) {
      for (const auto& [name, value] : *names) keys.emplace_back(name.str());
    }
  } catch (const toml::parse_error&) {
    return {};
  }
  return keys;
}

}  // namespace switchyard
