// A recipe in TOML: what is read and written again reads back as the same run.
#include "base/log.h"
#include "tests/fuzz/target.h"
#include "train/recipe.h"
#include "train/recipe_changes.h"

namespace switchyard {
namespace {

Recipe read_recipe(const std::string& text) {
  Recipe recipe;
  FieldList fields;
  recipe.list_fields(fields);
  fields.read_toml(text, "recipe.toml");
  recipe.validate("recipe.toml");
  return recipe;
}

void check_sound(const Recipe& recipe) {
  const Recipe again = read_recipe(recipe.to_toml(/*with_help=*/true));
  fuzz::require(again.to_toml() == recipe.to_toml(), "another recipe comes back");
  fuzz::require(run_differences(recipe, again).empty(), "it comes back as another run");
}

}  // namespace
}  // namespace switchyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  set_log_level(LogLevel::kOff);  // warnings of odd settings
  return fuzz::run([&] { return read_recipe(std::string(fuzz::text_of(data, size))); },
                   check_sound);
}
