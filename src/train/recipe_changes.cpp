#include "train/recipe_changes.h"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace switchyard {
namespace {

constexpr std::string_view kFreeKeys[] = {"data.validation",
                                          "data.loader_threads",
                                          "train.steps",
                                          "train.log_every",
                                          "train.evaluate_every",
                                          "train.evaluate_start",
                                          "train.evaluate_sequences",
                                          "train.checkpoint_every",
                                          "train.keep_checkpoints",
                                          "train.keep_every",
                                          "train.keep_best",
                                          "train.checkpoint_copy_share",
                                          "train.checkpoint_shard_gb",
                                          "train.max_minutes",
                                          "train.tensorboard",
                                          "train.micro_batch_sequences",
                                          "train.recompute",
                                          "train.best_metric",
                                          "train.start_from",
                                          "objective.teacher",
                                          "mesh.data",
                                          "mesh.expert",
                                          "mesh.model",
                                          "mesh.exchange_chunks",
                                          "mesh.background",
                                          "mesh.share_optimizer",
                                          "mesh.wait_seconds",
                                          "mesh.alone_seconds"};

constexpr std::string_view kTrainingKeys[] = {"optimizer.learning_rate",
                                              "optimizer.schedule",
                                              "optimizer.warmup_steps",
                                              "optimizer.inverse_sqrt_ramp",
                                              "optimizer.final_rate_factor",
                                              "optimizer.decay_steps",
                                              "optimizer.clip_norm",
                                              "optimizer.weight_decay",
                                              "data.on_damage",
                                              "health.not_finite",
                                              "health.spike",
                                              "health.starved",
                                              "health.slow",
                                              "health.in_a_row",
                                              "health.skip_batches",
                                              "health.spike_window",
                                              "health.spike_score",
                                              "health.starved_steps",
                                              "health.starved_share",
                                              "health.slow_window",
                                              "health.slow_drop"};

void drop_empty_tasks(Recipe& recipe) {
  std::erase_if(recipe.tasks, [](const auto& task) {
    return task.second.train.empty() && task.second.validation.empty();
  });
}

/// Whether a key belongs to a task that is not trained on.
bool is_of_evaluated_task(const std::string& key, const Recipe& recipe) {
  return std::any_of(recipe.tasks.begin(), recipe.tasks.end(), [&](const auto& task) {
    return key.starts_with("tasks." + task.first + ".") && task.second.train.empty();
  });
}

template <size_t kCount>
bool holds(const std::string_view (&keys)[kCount], std::string_view key) {
  return std::find(std::begin(keys), std::end(keys), key) != std::end(keys);
}

}  // namespace

KeyChange change_of_key(const std::string& key) {
  const bool held_out_task = key.starts_with("tasks.") && key.ends_with(".validation");
  if (holds(kFreeKeys, key) || held_out_task) return KeyChange::kFree;
  return holds(kTrainingKeys, key) ? KeyChange::kTraining : KeyChange::kNever;
}

std::vector<RecipeDifference> recipe_differences(const Recipe& ours, const Recipe& theirs) {
  Recipe a = ours, b = theirs;
  drop_empty_tasks(a);
  drop_empty_tasks(b);
  a.add_tasks_of(theirs);
  b.add_tasks_of(ours);
  FieldList fields_a, fields_b;
  a.list_fields(fields_a);
  b.list_fields(fields_b);
  std::vector<RecipeDifference> differences;
  for (size_t i = 0; i < fields_a.fields().size(); ++i) {
    const std::string& key = fields_a.fields()[i].key;
    const std::string left = fields_a.fields()[i].to_toml();
    const std::string right = fields_b.fields()[i].to_toml();
    if (left == right) continue;
    const bool is_free = is_of_evaluated_task(key, a) && is_of_evaluated_task(key, b);
    differences.push_back({key, left, right, is_free ? KeyChange::kFree : change_of_key(key)});
  }
  return differences;
}

std::vector<RecipeDifference> run_differences(const Recipe& ours, const Recipe& theirs) {
  std::vector<RecipeDifference> differences = recipe_differences(ours, theirs);
  std::erase_if(differences, [](const RecipeDifference& difference) {
    return difference.change != KeyChange::kNever;
  });
  return differences;
}

}  // namespace switchyard
