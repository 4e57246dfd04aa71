#include "comm/mpi/mpi_engine.h"

#include <chrono>

#include "base/error.h"

namespace switchyard {

MpiEngine::MpiEngine(bool background) {
  if (background) thread_ = std::thread([this] { work(); });
}

MpiEngine::~MpiEngine() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void MpiEngine::submit(const std::shared_ptr<MpiJob>& job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(job);
    advance_locked();
    if (jobs_.empty()) return;
  }
  wake_.notify_one();
}

void MpiEngine::advance() {
  const std::lock_guard lock(mutex_);
  advance_locked();
}

void MpiEngine::halt() {
  const std::lock_guard lock(mutex_);
  halted_ = true;
}

void MpiEngine::advance_locked() {
  if (halted_) return;
  std::erase_if(jobs_, [](const auto& job) { return job->advance(); });
}

// Sleeps between looks: a core that spins is one that does not compute.
void MpiEngine::work() {
  constexpr std::chrono::microseconds kNap(100);
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    try {
      advance_locked();
    } catch (const Error&) {
      return;  // whoever waits meets the same error
    }
    lock.unlock();
    std::this_thread::sleep_for(kNap);
    lock.lock();
  }
}

}  // namespace switchyard
