#include "train/state_snapshot.h"

#include <cstring>
#include <new>

namespace switchyard {

StateSnapshot::StateSnapshot(const std::vector<Bytes>& tensors, uint64_t copy_bytes)
    : tensors_(tensors.size()), live_(tensors.size()), copy_bytes_(copy_bytes) {
  for (size_t i = 0; i < tensors.size(); ++i) tensors_[i].bytes = tensors[i];
}

StateSnapshot::Bytes StateSnapshot::take(size_t i) {
  std::unique_lock lock(mutex_);
  Tensor& tensor = tensors_[i];
  changed_.wait(lock, [&] { return tensor.state != State::kCopying; });
  tensor.taken = true;
  return tensor.bytes;
}

void StateSnapshot::release(size_t i) {
  const std::lock_guard lock(mutex_);
  Tensor& tensor = tensors_[i];
  if (tensor.state == State::kLive) --live_;
  tensor.state = State::kDone;
  tensor.copy.reset();
  changed_.notify_all();
}

void StateSnapshot::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

void StateSnapshot::detach() {
  std::unique_lock lock(mutex_);
  for (size_t i = tensors_.size(); i-- > 0 && !closed_;) {
    Tensor& tensor = tensors_[i];
    const size_t size = tensor.bytes.size();
    if (tensor.state != State::kLive || tensor.taken || size > copy_bytes_ - copied_bytes_) {
      continue;
    }
    tensor.state = State::kCopying;
    copied_bytes_ += size;
    lock.unlock();
    std::unique_ptr<std::byte[]> copy(new (std::nothrow) std::byte[size]);
    if (copy) std::memcpy(copy.get(), tensor.bytes.data(), size);
    lock.lock();
    tensor.state = copy ? State::kCopied : State::kLive;  // without memory: waited for
    if (copy) {
      tensor.bytes = {copy.get(), size};
      tensor.copy = std::move(copy);
      --live_;
    }
    changed_.notify_all();
  }
  changed_.wait(lock, [&] { return closed_ || live_ == 0; });
}

uint64_t StateSnapshot::copied_bytes() const {
  const std::lock_guard lock(mutex_);
  return copied_bytes_;
}

}  // namespace switchyard
