#include "plan/plan_recipe.h"

#include "base/error.h"
#include "model/model_directory.h"
#include "plan/mesh.h"

namespace switchyard {

PlannedRecipe read_planned_recipe(const std::string& recipe_path, const std::string& model_path,
                                  const std::vector<std::string>& overrides,
                                  const std::string& mesh) {
  if (recipe_path.empty() == model_path.empty()) {
    throw usage_error("name a recipe or a model, and not both", "--recipe, --model",
                      "e.g. --recipe recipes/switch_c_2048.toml");
  }
  PlannedRecipe planned;
  FieldList fields;
  planned.recipe.list_fields(fields);
  if (!recipe_path.empty()) fields.read_toml_file(recipe_path);
  if (!model_path.empty()) planned.recipe.model = read_model_description(model_path).config;
  for (const std::string& assignment : overrides) fields.set(assignment);
  planned.mesh = parse_mesh(mesh, planned.recipe.mesh);
  planned.recipe.mesh = MeshConfig();
  planned.recipe.validate(recipe_path.empty() ? model_path : recipe_path);
  divide_over_mesh(planned.recipe, planned.mesh);
  return planned;
}

}  // namespace switchyard
