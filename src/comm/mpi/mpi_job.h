// A collective as messages between pairs of ranks, in stages: the next one begins when all messages
// of the one before it have been sent and received. For mpi/ only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "comm/mpi/mpi_api.h"

namespace switchyard {

constexpr int kMpiRounds = 32;

struct MpiMessage {
  int peer;
  std::byte* data;
  int64_t bytes;
};

struct MpiStage {
  int round = 0;  // of the collective: messages of one round meet; below kMpiRounds
  std::vector<MpiMessage> sends, receives;
  std::function<void()> then = {};  // once they are done
};

class MpiJob {
 public:
  /// Rounds have the tags `tag`, tag + 1, ... `keep` lives as long as the job.
  MpiJob(MPI_Comm group, int tag, std::vector<MpiStage> stages, std::shared_ptr<void> keep);
  ~MpiJob();
  MpiJob(const MpiJob&) = delete;
  MpiJob& operator=(const MpiJob&) = delete;

  /// Posts and tests what can be; true once all is done. Throws Error(kRuntime) if MPI fails. Calls
  /// must not overlap each other or other calls of MPI.
  bool advance();
  bool done() const { return done_; }

 private:
  void post(const MpiStage& stage);

  MPI_Comm group_;
  int tag_;
  std::vector<MpiStage> stages_;
  std::shared_ptr<void> keep_;
  size_t stage_ = 0;
  bool posted_ = false;
  std::vector<MPI_Request> requests_;
  std::atomic<bool> done_ = false;
};

/// Throws Error(kRuntime) with MPI's own text unless `code` is success.
void check_mpi(int code, const char* call);

}  // namespace switchyard
