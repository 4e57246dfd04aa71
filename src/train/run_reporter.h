// What a run says while it trains: metrics.jsonl, TensorBoard, the line on the terminal, the log.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "base/progress.h"
#include "train/checkpoint.h"
#include "train/evaluator.h"
#include "train/metrics_log.h"
#include "train/recipe.h"
#include "train/run_directory.h"
#include "train/tensorboard_writer.h"

namespace switchyard {

/// Speed of the steps of a window.
struct Throughput {
  double tokens_per_second = 0;
  double gemm_share = 0;  // 3 forward FLOPs (without dropped tokens) / seconds / GEMM rate
};

class RunReporter {
 public:
  /// `step`: updates made so far. Writes nothing unless this process owns the run directory.
  RunReporter(const RunDirectory& run, const Recipe& recipe, int64_t step);

  /// A `train` line for the steps of position.window.
  void train(const TrainPosition& position, double learning_rate, const Throughput& throughput);
  /// An `eval` line.
  void evaluation(const TrainPosition& position, const RunEvaluation& evaluation);
  /// An `event` line: "started", "continued", "stopped", ..., with what else is to be said of it.
  void event(const TrainPosition& position, const std::string& name,
             nlohmann::json values = nlohmann::json::object());
  /// Redraws the terminal's line after a step.
  void progress(const TrainPosition& position, double loss);
  void show(const std::string& text) { line_.show(text); }
  /// Makes all lines survive a power cut; before a checkpoint is written.
  void sync();

 private:
  void write(const TrainPosition& position, const char* kind, const nlohmann::json& values);
  double seconds_left(const TrainPosition& position) const;
  void warn_of_dropped(const RunEvaluation& evaluation);

  std::optional<MetricsLog> metrics_;
  std::optional<TensorBoardWriter> tensorboard_;
  ProgressLine line_;
  int64_t total_steps_;
  int64_t first_step_ = -1;  // of this process
  std::chrono::steady_clock::time_point start_, last_log_{};
  Throughput throughput_;
  bool warned_of_dropped_ = false;
};

}  // namespace switchyard
