// A checkpoint: a model directory plus training_state/, everything that the next step depends on
// (docs/formats.md, "Checkpoint").
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/tensor_files.h"
#include "data/skipped_batches.h"
#include "model/encoder_decoder.h"
#include "train/health/state.h"
#include "train/metrics_window.h"
#include "train/optimizer.h"
#include "train/state_snapshot.h"

namespace switchyard {

/// The quality of a run without tasks.
constexpr const char* kNlpMetric = "nlp";

/// Where a run stands, besides weights and the optimizer's state.
struct TrainPosition {
  int64_t step = 0;               // steps made
  int64_t next_sequence = 0;      // of the training stream: the data position
  int64_t tokens = 0;             // input and target tokens seen
  double seconds = 0;             // of training steps; evaluation and saving excluded
  MetricsWindow window;           // since the last line of metrics
  HealthState health;             // what the watch over the run remembers
  SkippedBatches skipped;         // batches that roll backs left out
  std::string data;               // fingerprint of the training data
  std::optional<double> nlp;      // of an evaluation after this very step
  std::optional<double> quality;  // of the same by `quality_metric`, finite
  std::string quality_metric;     // train.best_metric, as the evaluator understands it
  std::string teacher;            // fingerprint of its weights; empty without one
};

struct CheckpointOptions {
  uint64_t shard_bytes = kDefaultShardBytes;  // of a file of weights or optimizer state
  std::string tokenizer;                      // SentencePiece model to copy
};

/// What a checkpoint holds. The tensors are views of live memory, all else is as it was when this
/// was made.
struct CheckpointContents {
  ModelConfig config;
  std::vector<TensorSpec> weights, optimizer;     // by file
  std::vector<std::span<const std::byte>> bytes;  // of the weights, then of the optimizer's tensors
  std::string state;                              // text of state.json

  uint64_t total_bytes() const;
};

CheckpointContents checkpoint_contents(const EncoderDecoder& model, Optimizer& optimizer,
                                       const TrainPosition& position);

constexpr const char* kStateFolder = "/training_state";  // below a checkpoint

/// The text of state.json.
std::string state_text(Optimizer& optimizer, const TrainPosition& position);

/// Lines of a manifest of files in `folder`, "" or a path that begins with "/", instead of its
/// parent.
void put_in_folder(std::vector<ManifestEntry>& entries, const std::string& folder);

/// What is written once all tensors are there: config.json and the tokenizer, state.json, and last
/// the list of all files, `entries` those of the tensors.
void finish_checkpoint(const std::string& directory, const ModelConfig& config,
                       const std::string& state, const CheckpointOptions& options,
                       std::vector<ManifestEntry> entries);

/// Writes `directory` under a temporary name, the list of its files with checksums last, syncs
/// everything and renames it: at any moment it is complete or not there. The tensors come from
/// `snapshot`, made of contents.bytes. Throws Error if it cannot be written; what was written by
/// then is removed. Uses no thread but the caller's.
void write_checkpoint(const std::string& directory, const CheckpointContents& contents,
                      const CheckpointOptions& options, StateSnapshot& snapshot);

/// write_checkpoint() of a model and an optimizer that rest meanwhile.
void save_checkpoint(const std::string& directory, const EncoderDecoder& model,
                     Optimizer& optimizer, const TrainPosition& position,
                     const CheckpointOptions& options);

/// Restores model and optimizer, bit for bit. All files are held against their checksums first,
/// unless another rank has just done that (`verified`).
/// Throws Error(kDamaged) if anything is missing, is not as it was written, or does not fit.
TrainPosition load_checkpoint(const std::string& directory, EncoderDecoder& model,
                              Optimizer& optimizer, bool verified = false);

/// The position alone; the file is trusted (verify_files() checks it). Throws as load_checkpoint().
TrainPosition read_position(const std::string& directory);

}  // namespace switchyard
