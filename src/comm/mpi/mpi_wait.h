// Waiting for a collective over MPI, with a limit. For mpi/ only.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/mpi/mpi_communicator.h"

namespace switchyard {

/// A collective under way: what is said of it when it does not end.
struct MpiOperation {
  std::string name;  // "all_reduce 12 of the data ranks"
  int channel;
  uint64_t number;           // of the channel's collectives
  std::vector<int> members;  // world ranks
  int world_rank;            // of this process
};

class MpiPending : public Pending::State {
 public:
  MpiPending(std::shared_ptr<MpiJob> job, MpiOperation operation, const MpiShared& shared);
  /// Before it is done: an error unwinds, and its buffers are about to go.
  ~MpiPending() override;
  MpiPending(const MpiPending&) = delete;
  MpiPending& operator=(const MpiPending&) = delete;
  bool done() override;
  void wait() override;

 private:
  [[noreturn]] void fail(const std::string& what, const std::string& hint) const;

  std::shared_ptr<MpiJob> job_;
  MpiOperation operation_;
  MpiShared shared_;
};

}  // namespace switchyard
