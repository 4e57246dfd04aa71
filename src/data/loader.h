// Makes batches ahead of the training step, on threads of its own.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "base/threads.h"
#include "data/sequence_stream.h"
#include "data/skipped_batches.h"

namespace switchyard {

struct LoaderOptions {
  int64_t batch_sequences = 64;  // of the global batch: step s has sequences [s B, (s + 1) B)
  int64_t first_row = 0;         // this rank's rows of the global batch: [first_row,
  int64_t num_rows = 0;          //  first_row + num_rows); num_rows 0: all from first_row on
  uint64_t first_step = 0;       // where to begin: seeking costs nothing
  SkippedBatches skipped;        // left out: step s has the s-th batch of the others
  int64_t threads = 1;           // the batches and their order are the same for any number
  int64_t batches_ahead = 2;     // of each thread
};

/// next() is for one thread. The stream must outlive the loader.
class Loader {
 public:
  Loader(const SequenceStream& stream, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The batch of the next step; rethrows what went wrong in making it.
  TokenBatch next();

  /// The step that next() will give.
  uint64_t step() const { return step_; }

 private:
  struct Item {
    TokenBatch batch;
    std::exception_ptr error;
  };
  using Queue = BoundedQueue<Item>;

  void produce(uint64_t first_step, Queue& queue) const;

  const SequenceStream& stream_;
  LoaderOptions options_;
  uint64_t step_;
  std::vector<std::unique_ptr<Queue>> queues_;  // thread t makes steps first_step + t, + t + T, ..
  std::vector<std::thread> threads_;
};

}  // namespace switchyard
