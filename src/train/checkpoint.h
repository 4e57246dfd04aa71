// A checkpoint: a model directory plus training_state/, everything that the next step depends on
// (docs/formats.md, "Checkpoint").
#pragma once

#include <cstdint>
#include <string>

#include "model/encoder_decoder.h"
#include "train/metrics_window.h"
#include "train/optimizer.h"

namespace switchyard {

/// Where a run stands, besides weights and the optimizer's state.
struct TrainPosition {
  int64_t step = 0;           // updates made
  int64_t next_sequence = 0;  // of the training stream: the data position
  int64_t tokens = 0;         // input and target tokens seen
  double seconds = 0;         // of training steps; evaluation and saving excluded
  MetricsWindow window;       // since the last line of metrics
  std::string data;           // fingerprint of the training data
};

/// Writes `directory` under a temporary name, the list of its files with checksums last, and
/// renames it: it is complete or not there. Throws Error if it cannot be written, with nothing left
/// under the final name.
void save_checkpoint(const std::string& directory, const EncoderDecoder& model,
                     Optimizer& optimizer, const TrainPosition& position,
                     const std::string& tokenizer_path);

/// Restores model and optimizer, bit for bit. All files are held against their checksums first.
/// Throws Error(kDamaged) if anything is missing, is not as it was written, or does not fit.
TrainPosition load_checkpoint(const std::string& directory, EncoderDecoder& model,
                              Optimizer& optimizer);

/// The position alone; the file is trusted (verify_files() checks it). Throws as load_checkpoint().
TrainPosition read_position(const std::string& directory);

}  // namespace switchyard
