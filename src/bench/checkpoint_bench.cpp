#include "bench/checkpoint_bench.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/files.h"
#include "base/format.h"
#include "base/median.h"
#include "bench/step_runner.h"
#include "train/checkpoint_writer.h"

namespace switchyard {
namespace {

/// Below the folder given, removed with its contents.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::string& parent)
      : path_(format("{}/checkpoint-bench-{}", parent, ::getpid())) {
    make_directories(path_);
  }
  ~ScratchFolder() { remove_tree(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

CheckpointBenchResult run_checkpoint_bench(const Recipe& recipe,
                                           const CheckpointBenchOptions& options) {
  StepRunner runner(recipe, options.steps);
  const ScratchFolder folder(options.folder);
  const std::string path = folder.path() + "/checkpoint";
  CheckpointOptions saving;
  saving.shard_bytes = static_cast<uint64_t>(recipe.train.checkpoint_shard_gb * 1e9);
  const TrainPosition position;
  CheckpointBenchResult result;
  result.bytes = checkpoint_contents(runner.model(), runner.optimizer(), position).total_bytes();
  const auto run_steps = [&] {
    std::vector<double> seconds;
    for (int64_t i = 0; i < options.steps.steps; ++i) seconds.push_back(runner.run());
    return seconds;
  };
  for (int64_t i = 0; i < options.steps.warmup_steps; ++i) runner.run();

  CheckpointWriter writer(runner.model(), runner.optimizer(), saving,
                          recipe.train.checkpoint_copy_share);
  std::vector<double> steps, stopped, stalls, extras;
  for (int64_t round = 0; round < options.rounds; ++round) {
    remove_tree(path);
    Clock::time_point start = Clock::now();
    save_checkpoint(path, runner.model(), runner.optimizer(), position, saving);
    stopped.push_back(seconds_since(start));
    remove_tree(path);

    start = Clock::now();
    for (const double seconds : run_steps()) steps.push_back(seconds);
    const double plain = seconds_since(start);

    const double stall_before = writer.stall_seconds();
    start = Clock::now();
    writer.start(path, position);
    run_steps();
    writer.finish();
    extras.push_back(seconds_since(start) - plain);
    stalls.push_back(writer.stall_seconds() - stall_before);
    result.copied_bytes = std::max(result.copied_bytes, writer.copied_bytes());
  }
  result.step_seconds = median_of(steps);
  result.stopped = median_of(stopped);
  result.stall = median_of(stalls);
  result.extra = median_of(extras);
  return result;
}

nlohmann::ordered_json to_json(const CheckpointBenchResult& result) {
  return {{"kind", "checkpoint"},
          {"bytes", result.bytes},
          {"step_seconds", result.step_seconds},
          {"stopped_seconds", result.stopped},
          {"stall_seconds", result.stall},
          {"extra_seconds", result.extra},
          {"copied_bytes", result.copied_bytes}};
}

}  // namespace switchyard
