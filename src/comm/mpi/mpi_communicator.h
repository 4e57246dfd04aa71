// The communicator over MPI. Collectives are made of messages between pairs of ranks, so that sums
// have one order, bfloat16 is summed in float32, and one thread or none moves them on.
#pragma once

#include <memory>

#include "comm/communicator.h"
#include "comm/mpi/mpi_api.h"
#include "comm/mpi/mpi_engine.h"
#include "comm/watch/peer_watch.h"

namespace switchyard {

/// What all groups of a process share.
struct MpiShared {
  MpiEngine& engine;
  PeerWatch* watch;  // null: nobody watches
  double wait_seconds;
};

class MpiCommunicator : public Communicator {
 public:
  /// Takes `group` over. `members`: world ranks in the order of the group. `channel`: of the watch,
  /// the same in all its processes. What `shared` names must outlive this.
  MpiCommunicator(std::string name, MPI_Comm group, std::vector<int> members, int channel,
                  const MpiShared& shared);
  ~MpiCommunicator() override;
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(members_.size()); }
  const std::string& name() const override { return name_; }
  MPI_Comm group() const { return group_; }
  const std::vector<int>& members() const { return members_; }

  Pending start_all_reduce(void* data, int64_t count, ElementType type) override;
  Pending start_reduce_scatter(const void* in, void* out, int64_t count, ElementType type) override;
  Pending start_all_gather(const void* in, void* out, int64_t count, ElementType type) override;
  Pending start_all_to_all(const void* in, std::span<const int64_t> send_counts, void* out,
                           std::span<const int64_t> receive_counts, int64_t row_bytes) override;
  Pending start_broadcast(void* data, int64_t count, ElementType type, int root) override;
  Pending start_barrier(double wait_seconds) override;

 private:
  Pending start(const char* operation, std::vector<MpiStage> stages,
                std::shared_ptr<void> keep = {}, double wait_seconds = 0);

  std::string name_;
  MPI_Comm group_;
  std::vector<int> members_;
  int channel_;
  MpiShared shared_;
  int rank_ = 0;
  uint64_t started_ = 0;
};

}  // namespace switchyard
