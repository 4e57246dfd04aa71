// What a run may change of its recipe when it goes on (docs/training.md, "Changing a recipe").
#pragma once

#include <string>
#include <vector>

#include "train/recipe.h"

namespace switchyard {

enum class KeyChange {
  kNever,     // the run would be another one, or its state would not fit
  kTraining,  // allowed; from the next step on the run trains differently
  kFree,      // allowed; steps come out the same to the bit
};

/// Of a key of the recipe, "train.steps"; keys that are not listed are never changed.
KeyChange change_of_key(const std::string& key);

/// A key whose values differ between two recipes, as they stand in TOML.
struct RecipeDifference {
  std::string key, ours, theirs;
  KeyChange change = KeyChange::kNever;
};

/// All of them, in the order of the field list.
std::vector<RecipeDifference> recipe_differences(const Recipe& ours, const Recipe& theirs);
/// Those that make `ours` and `theirs` two different runs.
std::vector<RecipeDifference> run_differences(const Recipe& ours, const Recipe& theirs);

}  // namespace switchyard
