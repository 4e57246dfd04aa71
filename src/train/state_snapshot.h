// The tensors of a checkpoint while they are written and training goes on: nobody changes them
// between two updates, so a writer reads them where they lie, and only what it has not written when
// the next update is due must be copied, or waited for.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace switchyard {

/// One writer takes tensors from the front; one owner, before it changes any of them, calls
/// detach(), which copies from the back.
class StateSnapshot {
 public:
  using Bytes = std::span<const std::byte>;

  /// At most `copy_bytes` are copied; what does not fit is waited for.
  StateSnapshot(const std::vector<Bytes>& tensors, uint64_t copy_bytes);

  /// Writer: the bytes of tensor i as they were when the snapshot was made, until release(i).
  Bytes take(size_t i);
  void release(size_t i);
  /// Writer: no more tensors will be taken, be it that all are written or that writing failed.
  void close();

  /// Owner: returns once the snapshot does not need the tensors themselves any more.
  void detach();
  /// Bytes copied so far.
  uint64_t copied_bytes() const;

 private:
  enum class State { kLive, kCopying, kCopied, kDone };
  struct Tensor {
    Bytes bytes;  // of the live tensor or of its copy
    State state = State::kLive;
    std::unique_ptr<std::byte[]> copy;
    bool taken = false;
  };

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Tensor> tensors_;
  size_t live_;  // tensors that are neither written nor copied
  uint64_t copy_bytes_, copied_bytes_ = 0;
  bool closed_ = false;
};

}  // namespace switchyard
