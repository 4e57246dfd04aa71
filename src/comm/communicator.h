// Communicator: a group of processes (ranks) that compute together, and what they tell each other.
// One interface for one rank (single_rank.h), MPI (mpi/) and whatever comes; plain pointers and
// counts, no LibTorch. Nobody outside this folder calls a message library.
//
// Every rank of a group calls the same collectives in the same order. A collective may be waited
// for at once, or started, worked beside, and waited for later; several may be under way. Sums are
// made in the order of ranks, of bfloat16 in float32 and rounded once: all ranks get the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace switchyard {

enum class ElementType { kFloat32, kFloat64, kBfloat16, kInt64, kByte };
int64_t element_size(ElementType type);

/// A collective under way. Its buffers must live, and must not be touched, until wait() returns or
/// throws. Movable; destroyed before it is done, as when an error unwinds, it ends all collectives
/// of the process: none of them makes progress any more.
class Pending {
 public:
  class State {
   public:
    virtual ~State() = default;
    virtual bool done() = 0;
    virtual void wait() = 0;
  };

  Pending() = default;  // of something that is done
  explicit Pending(std::shared_ptr<State> state) : state_(std::move(state)) {}

  /// Makes progress without waiting; true once everything has arrived.
  bool done() { return !state_ || state_->done(); }
  /// Throws Error(kRuntime) naming this rank, the collective and the ranks that did not come: after
  /// the time limit, or as soon as one of them is known to be gone. The group is unusable then.
  void wait() {
    if (state_) state_->wait();
    state_.reset();
  }

 private:
  std::shared_ptr<State> state_;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;  // of this process in the group
  virtual int size() const = 0;
  virtual const std::string& name() const = 0;  // in errors

  /// data[i] becomes the sum over ranks. `type` is a floating type or kInt64.
  virtual Pending start_all_reduce(void* data, int64_t count, ElementType type) = 0;
  /// `out` [count] gets the sum over ranks of their `in` [size() * count] at rank() * count.
  virtual Pending start_reduce_scatter(const void* in, void* out, int64_t count,
                                       ElementType type) = 0;
  /// `out` [size() * count] gets every rank's `in` [count], in the order of ranks.
  virtual Pending start_all_gather(const void* in, void* out, int64_t count, ElementType type) = 0;
  /// The first send_counts[0] rows of `in` go to rank 0, the next to rank 1 and so on; `out` gets
  /// receive_counts[r] rows of rank r, in the order of ranks. Counts may be 0; receive_counts[r] is
  /// what rank r has as send_counts[rank()] (all_to_all_counts() finds out).
  virtual Pending start_all_to_all(const void* in, std::span<const int64_t> send_counts, void* out,
                                   std::span<const int64_t> receive_counts, int64_t row_bytes) = 0;
  /// `data` of rank `root` comes to all.
  virtual Pending start_broadcast(void* data, int64_t count, ElementType type, int root) = 0;
  /// `wait_seconds`: instead of the group's limit, where much may be done before; 0: the group's.
  virtual Pending start_barrier(double wait_seconds = 0) = 0;

  // The same, waited for.
  void all_reduce(void* data, int64_t count, ElementType type) {
    start_all_reduce(data, count, type).wait();
  }
  void reduce_scatter(const void* in, void* out, int64_t count, ElementType type) {
    start_reduce_scatter(in, out, count, type).wait();
  }
  void all_gather(const void* in, void* out, int64_t count, ElementType type) {
    start_all_gather(in, out, count, type).wait();
  }
  void all_to_all(const void* in, std::span<const int64_t> send_counts, void* out,
                  std::span<const int64_t> receive_counts, int64_t row_bytes) {
    start_all_to_all(in, send_counts, out, receive_counts, row_bytes).wait();
  }
  void broadcast(void* data, int64_t count, ElementType type, int root) {
    start_broadcast(data, count, type, root).wait();
  }
  void barrier() { start_barrier().wait(); }

  /// Sums of a few numbers.
  void sum(std::vector<double>& values);
  /// The largest value of any rank.
  int64_t maximum(int64_t value);
  /// The counts that each rank sends to this one, from those that this one sends.
  std::vector<int64_t> all_to_all_counts(std::span<const int64_t> send_counts);
  /// The text of rank `root`.
  std::string broadcast_text(const std::string& text, int root);
};

}  // namespace switchyard
