// The training loop: loader, steps, evaluation, metrics, checkpoints, and going on from one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "train/recipe.h"

namespace switchyard {

class EncoderDecoder;
class Mesh;

struct TrainOptions {
  std::string run_directory;
  int threads = 1;             // for the records of the run; set for LibTorch by prepare_process()
  std::string version;         // of the program, for the same records
  const Mesh* mesh = nullptr;  // all ranks that train together, in the recipe's mesh; null: one
  // Told the number of each step before it is made; tests harm the model here.
  std::function<void(int64_t, EncoderDecoder&)> before_step = {};
};

struct TrainSummary {
  int64_t step = 0;
  int64_t tokens = 0;  // input and target tokens of the whole run
  double seconds = 0;  // of its training steps
  int64_t parameters = 0;
  double gemm_rate = 0;          // FLOP/s
  double tokens_per_second = 0;  // of the whole run
  std::optional<double> nlp;     // of the last evaluation of this process
  bool finished = false;         // all steps are done
  int signal = 0;                // that ended it early, or 0
  std::string checkpoint;        // the newest one
};

/// Trains as the recipe says, from the newest checkpoint of the run directory if there is one,
/// until train.steps, train.max_minutes, SIGINT or SIGTERM; then saves. Continued from a
/// checkpoint, a run does the same steps to the bit as one that was never stopped (same machine
/// kind, threads and mesh). All ranks of a mesh call it together and need the run directory in a
/// file system that they share; rank 0 alone writes there. Call prepare_process() and
/// install_stop_handlers() before. Throws Error; the last checkpoint stays intact.
TrainSummary train(const Recipe& recipe, const TrainOptions& options);

}  // namespace switchyard
