// The one thread that computes: takes jobs from any thread into the batch, drops those that are
// cancelled or too late, and steps.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "infer/batcher.h"
#include "serve/metrics.h"

namespace switchyard {

struct EngineLimits {
  int64_t rows = 16;      // outputs decoded together
  int64_t waiting = 256;  // outputs that may wait beside
  double job_seconds = 300;
};

enum class JobFailure {
  kTimeout,
  kStopped,  // the server ends
  kModel,    // the weights give numbers that are not finite
  kMemory,   // there is not enough of it
};

/// Outputs that belong to one request. Callbacks run in the computing thread, within run().
struct Job {
  std::vector<BatchRequest>
      rows;  // on_done of each is called, unless the job fails or is cancelled
  std::function<void(JobFailure)> on_failure;  // at most once, and nothing after it
};

class EngineLoop {
 public:
  /// `model` and `metrics` must outlive it.
  EngineLoop(InferenceModel& model, const EngineLimits& limits, Metrics& metrics);
  ~EngineLoop();

  enum class Admission { kAccepted, kFull, kEnding };
  // From any thread:
  /// Takes all outputs of a job or none. `number` is for cancel(), set before any callback.
  Admission submit(Job job, uint64_t& number);
  /// Drops a job without any further callback once the current step is over.
  void cancel(uint64_t number);
  /// Nothing is accepted any more; run() returns when all jobs are done.
  void end();

  // From the one thread that computes:
  /// Steps until end() was called and nothing is left. `between` is called between steps, and ten
  /// times a second where there is nothing to do.
  void run(const std::function<void()>& between);
  /// Ends all jobs. For `between`.
  void fail_all(JobFailure failure);

 private:
  struct Active;
  void take_in();
  void drop_late();
  void step();
  void drop(Active& job);
  void wait();
  void publish(bool always);

  const EngineLimits limits_;
  Metrics& metrics_;
  InferenceModel& model_;
  Batcher batcher_;
  std::vector<std::unique_ptr<Active>> active_;
  Clock::time_point published_;
  int64_t written_ = 0;  // ids in this step

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Active>> submitted_;
  std::vector<uint64_t> cancelled_;
  uint64_t last_number_ = 0;
  int64_t outstanding_ = 0;  // outputs accepted and not done
  bool ending_ = false;
};

}  // namespace switchyard
