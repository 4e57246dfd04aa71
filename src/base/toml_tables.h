// What tables a TOML text holds, for configs whose keys its writer names.
#pragma once

#include <string>
#include <vector>

namespace switchyard {

/// Names of the keys of a top-level table, sorted; none if there is no such table or the text does
/// not parse (FieldList::read_toml says what is wrong, and where).
std::vector<std::string> toml_table_keys(const std::string& text, const std::string& table);

}  // namespace switchyard
