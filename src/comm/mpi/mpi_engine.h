// Moves the collectives of a process on: all calls of MPI go through its lock. For mpi/ only.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "comm/mpi/mpi_job.h"

namespace switchyard {

class MpiEngine {
 public:
  /// `background`: a thread moves them on while nobody waits.
  explicit MpiEngine(bool background);
  ~MpiEngine();
  MpiEngine(const MpiEngine&) = delete;
  MpiEngine& operator=(const MpiEngine&) = delete;

  /// Begins a job; its first messages are posted at once.
  void submit(const std::shared_ptr<MpiJob>& job);
  /// Moves all jobs on. Throws Error(kRuntime) if MPI fails.
  void advance();
  /// Nothing moves from here on: buffers may go away while messages are under way.
  void halt();

 private:
  void advance_locked();
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::shared_ptr<MpiJob>> jobs_;
  bool stopping_ = false, halted_ = false;
  std::thread thread_;
};

}  // namespace switchyard
