// Reads a recipe over what it starts from: the defaults of its objective and the model it names.
#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>
#include <string_view>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/toml_tables.h"
#include "model/model_directory.h"
#include "train/recipe.h"
#include "train/run_directory.h"

namespace switchyard {
namespace {

// Of [model]: what the weights of train.start_from must have been made for.
constexpr std::string_view kShapeKeys[] = {"d_model",
                                           "d_ff",
                                           "d_kv",
                                           "num_heads",
                                           "num_encoder_layers",
                                           "num_decoder_layers",
                                           "vocab_size",
                                           "feed_forward",
                                           "tie_embeddings",
                                           "relative_buckets",
                                           "relative_max_distance",
                                           "moe.num_experts",
                                           "moe.sparse_every",
                                           "moe.encoder_layers",
                                           "moe.decoder_layers",
                                           "moe.attention_experts",
                                           "moe.attention_encoder_layers",
                                           "moe.attention_decoder_layers",
                                           "moe.attention_d_ff"};

/// Text of a recipe and what comes over it.
struct RecipeText {
  std::string path;  // "": none
  std::string toml;
  const std::vector<std::string>& overrides;

  std::string where() const { return path.empty() ? "recipe" : path; }
};

/// Tables and overrides that begin with "tasks.NAME".
std::set<std::string> task_names(const RecipeText& text) {
  constexpr std::string_view kTasks = "tasks.";
  std::set<std::string> names;
  for (const std::string& name : toml_table_keys(text.toml, "tasks")) names.insert(name);
  for (const std::string& assignment : text.overrides) {
    if (!assignment.starts_with(kTasks)) continue;
    const std::string rest = assignment.substr(kTasks.size());
    names.insert(rest.substr(0, rest.find_first_of(".=")));
  }
  return names;
}

/// Not validated.
Recipe read_over(Recipe recipe, const RecipeText& text) {
  for (const std::string& name : task_names(text)) recipe.tasks[name];
  FieldList fields;
  recipe.list_fields(fields);
  if (!text.path.empty()) fields.read_toml(text.toml, text.path);
  for (const std::string& assignment : text.overrides) fields.set(assignment);
  return recipe;
}

ModelConfig config_of(const std::string& path) {
  return read_model_description(find_model_directory(path)).config;
}

void check_shape(ModelConfig ours, const std::string& start, ModelConfig theirs,
                 const std::string& where) {
  FieldList own, other;
  ours.list_fields(own);
  theirs.list_fields(other);
  for (const std::string_view key : kShapeKeys) {
    const std::string left = own.find(std::string(key))->to_toml();
    const std::string right = other.find(std::string(key))->to_toml();
    if (left == right) continue;
    throw usage_error(format("model.{} = {}, but train.start_from has {}", key, left, right), where,
                      format("leave it out: it is taken from {}", start));
  }
}

}  // namespace

Recipe load_recipe(const std::string& path, const std::vector<std::string>& overrides,
                   const std::string& run_directory) {
  const RecipeText text{path, path.empty() ? "" : read_file(path), overrides};
  Recipe base;
  const Recipe first = read_over(base, text);
  if (first.objective.kind == "seq2seq") {
    base.optimizer.learning_rate = 0.001;
    base.optimizer.schedule = "constant";
    base.optimizer.warmup_steps = 0;
  }
  std::string start = first.train.start_from;
  const std::string as_run = run_directory + "/recipe.toml";
  const bool starts_from_model = !start.empty() || !first.objective.teacher.empty();
  if (starts_from_model && !run_directory.empty() && std::filesystem::exists(as_run)) {
    base.model = load_run_recipe(as_run).model;  // what it began with need not be there any more
    start.clear();
  } else if (!start.empty()) {
    base.model = config_of(start);
  } else if (!first.objective.teacher.empty()) {
    base.model = config_of(first.objective.teacher);
    base.model.moe = MoeConfig();
    base.model.moe.num_experts = 0;
  }
  const Recipe recipe = read_over(base, text);
  recipe.validate(text.where());
  if (!start.empty()) check_shape(recipe.model, start, base.model, text.where());
  return recipe;
}

Recipe load_run_recipe(const std::string& path) {
  const std::vector<std::string> none;
  const Recipe recipe = read_over(Recipe(), {path, read_file(path), none});
  recipe.validate(path);
  return recipe;
}

}  // namespace switchyard
