// Run directory: the recipe as run, metrics.jsonl, tensorboard/, checkpoints/, run.json
// (docs/formats.md, "Run directory").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/recipe.h"
#include "train/recipe_changes.h"
#include "train/retention.h"

namespace switchyard {

/// One process at a time owns a run directory, by a lock that ends with the process; the other
/// ranks of a run only read: what would change the directory does nothing there.
class RunDirectory {
 public:
  /// Makes the directory, or takes up the run that it holds. Throws Error(kUsage) if it holds a run
  /// of another recipe (naming the keys that differ) or anything that is no run, or if another
  /// process trains in it.
  RunDirectory(const std::string& path, const Recipe& recipe);
  /// As a rank that only reads. Touches nothing.
  explicit RunDirectory(const std::string& path) : path_(path) {}
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::string& path() const { return path_; }
  bool is_owned() const { return owned_; }
  std::string metrics_path() const { return path_ + "/metrics.jsonl"; }
  std::string tensorboard_path() const { return path_ + "/tensorboard"; }
  std::string checkpoint_path(int64_t step) const;
  /// Steps of the checkpoints, ascending.
  std::vector<int64_t> checkpoints() const;
  /// Takes a checkpoint that turned out to be damaged out of the way: "step-00001000.damaged".
  void set_aside(int64_t step) const;
  /// Removes the checkpoints that `policy` does not keep. Thread-safe.
  void remove_old_checkpoints(const RetentionPolicy& policy) const;
  /// Drops the lines of metrics.jsonl and the predictions that lie beyond `step`: a run that goes
  /// on from a checkpoint writes them again.
  void cut_metrics(int64_t step) const;
  /// Copies a tokenizer into the run, unless it has one. Returns the copy's path.
  std::string keep_tokenizer(const std::string& path) const;
  void write_recipe(const Recipe& recipe) const;
  /// What the recipe changes of the run that was there, all of it allowed; empty for a new run.
  const std::vector<RecipeDifference>& changes() const { return changes_; }

 private:
  void lock();
  void remove_leftovers() const;
  void check_same_run(const Recipe& recipe);

  std::string path_;
  std::vector<RecipeDifference> changes_;
  bool owned_ = false;
  int lock_fd_ = -1;
};

/// Where the checkpoint of a step lies: "RUN/checkpoints/step-00001000".
std::string checkpoint_path(const std::string& run_directory, int64_t step);

/// Steps of the checkpoints in a run directory, ascending; empty if it holds none. Whether one is
/// sound is for verify_files() to say.
std::vector<int64_t> list_checkpoints(const std::string& run_directory);

/// `path` itself if it is a model directory; in a run directory its newest sound checkpoint, with a
/// warning about each damaged one after it. Files are held against their checksums where there are
/// any. Throws Error(kUsage) if it is neither, Error(kDamaged) if nothing sound is left.
std::string find_model_directory(const std::string& path);

}  // namespace switchyard
