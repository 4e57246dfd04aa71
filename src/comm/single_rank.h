// The communicator of one rank: nothing to say, nothing to wait for.
#pragma once

#include "comm/communicator.h"

namespace switchyard {

class SingleRank : public Communicator {
 public:
  explicit SingleRank(std::string name) : name_(std::move(name)) {}

  int rank() const override { return 0; }
  int size() const override { return 1; }
  const std::string& name() const override { return name_; }

  Pending start_all_reduce(void* data, int64_t count, ElementType type) override;
  Pending start_reduce_scatter(const void* in, void* out, int64_t count, ElementType type) override;
  Pending start_all_gather(const void* in, void* out, int64_t count, ElementType type) override;
  Pending start_all_to_all(const void* in, std::span<const int64_t> send_counts, void* out,
                           std::span<const int64_t> receive_counts, int64_t row_bytes) override;
  Pending start_broadcast(void* data, int64_t count, ElementType type, int root) override;
  Pending start_barrier(double wait_seconds) override;

 private:
  std::string name_;
};

}  // namespace switchyard
