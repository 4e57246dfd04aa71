// What a plan is made for: a recipe, or a model with the recipe's defaults around it.
#pragma once

#include <string>
#include <vector>

#include "train/recipe.h"

namespace switchyard {

struct PlannedRecipe {
  Recipe recipe;    // of one rank's mesh
  MeshConfig mesh;  // the recipe's, changed as asked
};

/// Reads the recipe at `recipe_path`, or the model of the directory `model_path`; one of them is
/// "". `overrides`: "section.key=value". `mesh`: as parse_mesh(), over the recipe's. The mesh is
/// divided by the planner's rules, not held against what `train` can do. Throws Error(kUsage).
PlannedRecipe read_planned_recipe(const std::string& recipe_path, const std::string& model_path,
                                  const std::vector<std::string>& overrides,
                                  const std::string& mesh);

}  // namespace switchyard
