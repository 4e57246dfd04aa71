#include "train/checkpoint_writer.h"

#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

namespace switchyard {
namespace {

/// Adds the time of a scope to a sum.
class StopWatch {
 public:
  explicit StopWatch(double& seconds) : seconds_(seconds) {}
  ~StopWatch() { seconds_ += seconds_since(start_); }
  StopWatch(const StopWatch&) = delete;
  StopWatch& operator=(const StopWatch&) = delete;

 private:
  double& seconds_;
  const Clock::time_point start_ = Clock::now();
};

void write(const std::string& directory, const CheckpointContents& contents,
           const CheckpointOptions& options, StateSnapshot& snapshot) {
  try {
    write_checkpoint(directory, contents, options, snapshot);
  } catch (...) {
    snapshot.close();
    throw;
  }
  snapshot.close();
}

}  // namespace

CheckpointWriter::CheckpointWriter(const EncoderDecoder& model, Optimizer& optimizer,
                                   CheckpointOptions options, double copy_share)
    : model_(model), optimizer_(optimizer), options_(std::move(options)), copy_share_(copy_share) {
  optimizer_.set_before_update([this] { before_update(); });
}

CheckpointWriter::~CheckpointWriter() {
  optimizer_.set_before_update({});
  try {
    wait();
  } catch (const std::exception& error) {
    log_warning("a checkpoint was not written: {}", error.what());
  }
}

void CheckpointWriter::start(const std::string& directory, const TrainPosition& position,
                             std::function<void()> then) {
  const StopWatch watch(stall_seconds_);
  wait();
  CheckpointContents contents = checkpoint_contents(model_, optimizer_, position);
  const auto limit =
      static_cast<uint64_t>(copy_share_ * static_cast<double>(contents.total_bytes()));
  snapshot_ = std::make_unique<StateSnapshot>(contents.bytes, limit);
  written_seconds_ = -1;
  job_ = std::async(std::launch::async,
                    [this, directory, contents = std::move(contents), then = std::move(then)] {
                      double seconds = 0;
                      {
                        const StopWatch writing(seconds);
                        write(directory, contents, options_, *snapshot_);
                        if (then) then();
                      }
                      written_seconds_ = seconds;
                    });
}

void CheckpointWriter::before_update() {
  if (!job_.valid()) return;
  const StopWatch watch(stall_seconds_);
  snapshot_->detach();
  if (job_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) wait();
}

void CheckpointWriter::finish() {
  const StopWatch watch(stall_seconds_);
  wait();
}

std::optional<double> CheckpointWriter::written_seconds() const {
  const double seconds = written_seconds_;
  return seconds >= 0 ? std::optional(seconds) : std::nullopt;
}

void CheckpointWriter::wait() {
  if (job_.valid()) job_.get();
}

}  // namespace switchyard
