#include "train/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/log.h"
#include "checkpoint/file_manifest.h"
#include "model/model_directory.h"
#include "train/checkpoint.h"
#include "train/metrics_log.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRecipe = "/recipe.toml";
constexpr const char* kLock = "/.lock";

// "step-00001000" -> 1000, anything else -1.
int64_t step_of(const std::string& name) {
  constexpr std::string_view kPrefix = "step-";
  if (!name.starts_with(kPrefix)) return -1;
  int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto [stop, code] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return code == std::errc() && stop == end ? step : -1;
}

// What AtomicFileWriter leaves of one of the run's files when its process is killed.
bool is_half_written(const std::string& name) {
  return name.starts_with("recipe.toml.tmp-") || name.starts_with("metrics.jsonl.tmp-") ||
         name.starts_with("run.json.tmp-") || name.starts_with("spiece.model.tmp-") ||
         name.starts_with("specialization.json.tmp-") || name.starts_with("roll_backs.json.tmp-");
}

// Nothing is there but what a process leaves that is killed at its start.
bool is_as_good_as_empty(const std::string& path) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename();
    if (name != ".lock" && !is_half_written(name)) return false;
  }
  return !error;
}

// What an evaluation at the checkpoint's step found; nothing if there was none, or it is damaged.
std::optional<double> quality_of(const std::string& checkpoint, const std::string& metric) {
  try {
    const TrainPosition position = read_position(checkpoint);
    return position.quality_metric == metric ? position.quality : std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string describe(const std::vector<RecipeDifference>& differences) {
  constexpr size_t kShown = 3;
  std::string text;
  for (size_t i = 0; i < std::min(kShown, differences.size()); ++i) {
    const RecipeDifference& difference = differences[i];
    text += format("{}{} = {} (there {})", i ? ", " : "", difference.key, difference.ours,
                   difference.theirs);
  }
  if (differences.size() > kShown) text += format(" and {} more", differences.size() - kShown);
  return text;
}

}  // namespace

std::string checkpoint_path(const std::string& run_directory, int64_t step) {
  return format("{}/checkpoints/step-{:08}", run_directory, step);
}

std::vector<int64_t> list_checkpoints(const std::string& run_directory) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run_directory + "/checkpoints", error)) {
    const int64_t step = step_of(entry.path().filename().string());
    if (step >= 0) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::string find_model_directory(const std::string& path) {
  if (!fs::exists(path)) throw usage_error("no such directory", path, "name a model or a run");
  if (fs::exists(path + "/config.json")) {
    if (has_file_manifest(path)) verify_files(path);
    return path;
  }
  const std::vector<int64_t> steps = list_checkpoints(path);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const std::string checkpoint = checkpoint_path(path, *step);
    try {
      verify_files(checkpoint);
      return checkpoint;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kDamaged || std::next(step) == steps.rend()) throw;
      log_warning("{}; using the checkpoint before it", error.what());
    }
  }
  if (fs::exists(path + kRecipe)) {
    throw usage_error("the run has no checkpoint yet", path, "let it train until the first one");
  }
  throw usage_error("neither a model (config.json) nor a run (checkpoints/)", path,
                    "name a directory with one of them");
}

RunDirectory::RunDirectory(const std::string& path, const Recipe& recipe)
    : path_(path), owned_(true) {
  if (fs::exists(path) && !fs::exists(path + kRecipe) && !is_as_good_as_empty(path)) {
    throw usage_error("the directory is not empty and holds no run", path,
                      "give a new directory for --run-dir");
  }
  make_directories(path);
  lock();
  check_same_run(recipe);
  write_recipe(recipe);  // first: it makes the directory a run
  make_directories(path + "/checkpoints");
  remove_leftovers();
}

RunDirectory::~RunDirectory() {
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

// What a process was writing or removing when it was killed.
void RunDirectory::remove_leftovers() const {
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(path_)) {
    if (is_half_written(entry.path().filename())) leftovers.push_back(entry.path());
  }
  for (const auto& entry : fs::directory_iterator(path_ + "/checkpoints")) {
    const std::string name = entry.path().filename();
    if (name.starts_with(".removing-") || (name.starts_with("step-") && name.ends_with(".tmp"))) {
      leftovers.push_back(entry.path());
    }
  }
  for (const fs::path& leftover : leftovers) remove_tree(leftover);
}

void RunDirectory::lock() {
  const std::string file = path_ + kLock;
  lock_fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_fd_ < 0) throw system_failure("cannot write in the run directory", path_, errno);
  if (::flock(lock_fd_, LOCK_EX | LOCK_NB) == 0) return;
  const int reason = errno;
  ::close(std::exchange(lock_fd_, -1));
  if (reason == EWOULDBLOCK) {
    throw usage_error("another process trains in this run directory", path_,
                      "wait for it, or give another --run-dir");
  }
  if (reason != ENOLCK && reason != ENOTSUP) throw system_failure("cannot lock", file, reason);
}

void RunDirectory::check_same_run(const Recipe& recipe) {
  if (!fs::exists(path_ + kRecipe)) return;
  const Recipe as_run = load_run_recipe(path_ + kRecipe);
  changes_ = recipe_differences(recipe, as_run);
  const auto differences = run_differences(recipe, as_run);
  if (differences.empty()) return;
  throw usage_error(format("the run directory holds another run: {}", describe(differences)), path_,
                    "use its recipe to go on with it, or give another --run-dir");
}

std::string RunDirectory::checkpoint_path(int64_t step) const {
  return switchyard::checkpoint_path(path_, step);
}

void RunDirectory::set_aside(int64_t step) const {
  if (!owned_) return;
  const std::string aside = checkpoint_path(step) + ".damaged";
  remove_tree(aside);
  rename_synced(checkpoint_path(step), aside);
}

std::vector<int64_t> RunDirectory::checkpoints() const { return list_checkpoints(path_); }

void RunDirectory::remove_old_checkpoints(const RetentionPolicy& policy) const {
  if (!owned_) return;
  std::vector<CheckpointFacts> all;
  for (const int64_t step : checkpoints()) {
    all.push_back(
        {step, policy.best > 0 ? quality_of(checkpoint_path(step), policy.metric) : std::nullopt});
  }
  for (const int64_t step : superfluous_checkpoints(all, policy)) {
    // Renamed first: a checkpoint half removed must not look like one.
    const std::string doomed = format("{}/checkpoints/.removing-{:08}", path_, step);
    try {
      rename_synced(checkpoint_path(step), doomed);
      if (!remove_tree(doomed)) log_warning("cannot remove the old checkpoint {}", doomed);
    } catch (const Error& error) {
      log_warning("{}; an old checkpoint stays", error.what());
    }
  }
}

void RunDirectory::cut_metrics(int64_t step) const {
  if (!owned_) return;
  switchyard::cut_metrics(metrics_path(), step);
  std::vector<fs::path> beyond;
  std::error_code none_there;
  for (const auto& entry : fs::directory_iterator(path_ + "/predictions", none_there)) {
    if (step_of(entry.path().filename().string()) > step) beyond.push_back(entry.path());
  }
  for (const fs::path& folder : beyond) remove_tree(folder);
}

std::string RunDirectory::keep_tokenizer(const std::string& path) const {
  const std::string kept = path_ + "/" + kTokenizerFile;
  if (!fs::exists(kept)) write_file(kept, read_file(path));
  return kept;
}

void RunDirectory::write_recipe(const Recipe& recipe) const {
  write_file(path_ + kRecipe, recipe.to_toml());
}

}  // namespace switchyard
