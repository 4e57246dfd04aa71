// The table "Changing a recipe" of docs/training.md holds every key of a recipe once, with what the
// code allows.
#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <string>

#include "base/files.h"
#include "train/recipe_changes.h"

namespace switchyard {
namespace {

const char* in_words(KeyChange change) {
  switch (change) {
    case KeyChange::kFree:
      return "freely";
    case KeyChange::kTraining:
      return "from the next step on";
    default:
      return "never";
  }
}

// Key -> what the second column says.
std::map<std::string, std::string> documented_changes() {
  const std::string page = read_file(SWITCHYARD_SOURCE_DIR "/docs/training.md");
  const size_t begin = page.find("\n## Changing a recipe\n");
  EXPECT_NE(begin, std::string::npos);
  std::istringstream section(page.substr(begin, page.find("\n## ", begin + 1) - begin));
  std::map<std::string, std::string> changes;
  for (std::string line; std::getline(section, line);) {
    if (!line.starts_with("| `")) continue;
    const size_t end = line.find(" | ");
    const std::string keys = line.substr(0, end);
    const std::string change = line.substr(end + 3, line.find(" | ", end + 3) - end - 3);
    for (size_t at = keys.find('`'); at != std::string::npos;) {
      const size_t close = keys.find('`', at + 1);
      const std::string key = keys.substr(at + 1, close - at - 1);
      EXPECT_TRUE(changes.emplace(key, change).second) << key << " stands there twice";
      at = keys.find('`', close + 1);
    }
  }
  return changes;
}

TEST(ChangesTable, SaysOfEveryKeyWhatTheCodeAllows) {
  std::map<std::string, std::string> documented = documented_changes();
  Recipe recipe;
  FieldList fields;
  recipe.list_fields(fields);
  for (const Field& field : fields.fields()) {
    const auto entry = documented.find(field.key);
    if (entry == documented.end()) {
      ADD_FAILURE() << field.key << " is not in the table";
      continue;
    }
    EXPECT_EQ(entry->second, in_words(change_of_key(field.key))) << field.key;
    documented.erase(entry);
  }
  for (const auto& [key, change] : documented) ADD_FAILURE() << key << " is no key of a recipe";
}

}  // namespace
}  // namespace switchyard
