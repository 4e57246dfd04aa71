// Writes checkpoints in a thread of its own while training goes on.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "train/checkpoint.h"
#include "train/state_snapshot.h"

namespace switchyard {

/// Weights and optimizer state are written from where they lie. The optimizer's next update waits
/// for what is not written by then, except for what may be copied. Everything that changes weights
/// or optimizer state in any other way than Optimizer::step() must call finish() before.
/// Used from one thread.
class CheckpointWriter {
 public:
  /// `model` and `optimizer` must outlive it. `copy_share`: of the bytes of a checkpoint, what may
  /// be copied at most.
  CheckpointWriter(const EncoderDecoder& model, Optimizer& optimizer, CheckpointOptions options,
                   double copy_share);
  /// Waits for the checkpoint that is being written; logs a failure that nobody asked for.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Waits for the checkpoint before, then begins to write this one, as save_checkpoint() does.
  /// `then` runs in the writer's thread once it is on disk. An Error of the writer is thrown by the
  /// next call of start() or finish(), or by the optimizer's next update that finds it.
  void start(const std::string& directory, const TrainPosition& position,
             std::function<void()> then = {});
  /// Waits until the last checkpoint is on disk. Throws the writer's Error.
  void finish();

  /// Seconds for which training has waited in all calls so far, updates included.
  double stall_seconds() const { return stall_seconds_; }
  /// What the checkpoint begun last took from then until it was on disk; nothing before that.
  std::optional<double> written_seconds() const;
  /// Bytes copied for the checkpoint begun last.
  uint64_t copied_bytes() const { return snapshot_ ? snapshot_->copied_bytes() : 0; }

 private:
  void before_update();
  void wait();

  const EncoderDecoder& model_;
  Optimizer& optimizer_;
  const CheckpointOptions options_;
  const double copy_share_;
  double stall_seconds_ = 0;
  std::atomic<double> written_seconds_ = -1;
  std::unique_ptr<StateSnapshot> snapshot_;
  std::future<void> job_;  // after what it uses: it is waited for first
};

}  // namespace switchyard
