#include "serve/engine_loop.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace switchyard {
namespace {

constexpr auto kIdleWait = std::chrono::milliseconds(100);
constexpr double kPublishSeconds = 0.5;

}  // namespace

struct EngineLoop::Active {
  uint64_t number;
  Job job;
  Clock::time_point accepted;
  size_t left;                      // outputs not done
  std::vector<uint64_t> rows = {};  // the batcher's numbers
};

EngineLoop::EngineLoop(InferenceModel& model, const EngineLimits& limits, Metrics& metrics)
    : limits_(limits), metrics_(metrics), model_(model), batcher_(model, limits.rows) {
  publish(true);
}

EngineLoop::~EngineLoop() = default;

EngineLoop::Admission EngineLoop::submit(Job job, uint64_t& number) {
  const std::lock_guard lock(mutex_);
  if (ending_) return Admission::kEnding;
  const auto count = static_cast<int64_t>(job.rows.size());
  if (outstanding_ + count > limits_.rows + limits_.waiting) return Admission::kFull;
  outstanding_ += count;
  number = ++last_number_;
  submitted_.push_back(std::make_unique<Active>(
      Active{number, std::move(job), Clock::now(), static_cast<size_t>(count)}));
  changed_.notify_one();
  return Admission::kAccepted;
}

void EngineLoop::cancel(uint64_t number) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(number);
  changed_.notify_one();
}

void EngineLoop::end() {
  const std::lock_guard lock(mutex_);
  ending_ = true;
  changed_.notify_one();
}

/// Takes what other threads have left.
void EngineLoop::take_in() {
  std::vector<std::unique_ptr<Active>> submitted;
  std::vector<uint64_t> cancelled;
  {
    const std::lock_guard lock(mutex_);
    std::swap(submitted, submitted_);
    std::swap(cancelled, cancelled_);
  }
  for (auto& job : submitted) {
    for (BatchRequest& request : job->job.rows) {
      request.on_id = [this, on_id = std::move(request.on_id)](int64_t id,
                                                               std::span<const float> log_p) {
        ++written_;
        if (on_id) on_id(id, log_p);
      };
      request.on_done = [this, own = job.get(),
                         on_done = std::move(request.on_done)](Generation generation) {
        --own->left;
        {
          const std::lock_guard lock(mutex_);
          --outstanding_;
        }
        on_done(std::move(generation));
      };
      job->rows.push_back(batcher_.submit(std::move(request)));
    }
    active_.push_back(std::move(job));
  }
  for (const uint64_t number : cancelled) {
    const auto found = std::find_if(active_.begin(), active_.end(),
                                    [&](const auto& job) { return job->number == number; });
    if (found == active_.end()) continue;  // done in the meantime
    drop(**found);
    active_.erase(found);
    metrics_.add_cancelled("disconnected");
  }
}

/// Takes what is left of a job out of the batch.
void EngineLoop::drop(Active& job) {
  for (const uint64_t row : job.rows) batcher_.cancel(row);
  const std::lock_guard lock(mutex_);
  outstanding_ -= static_cast<int64_t>(job.left);
}

void EngineLoop::drop_late() {
  const auto now = Clock::now();
  std::erase_if(active_, [&](const std::unique_ptr<Active>& job) {
    const double seconds = std::chrono::duration<double>(now - job->accepted).count();
    if (seconds < limits_.job_seconds) return false;
    drop(*job);
    metrics_.add_cancelled("timeout");
    job->job.on_failure(JobFailure::kTimeout);
    return true;
  });
}

void EngineLoop::fail_all(JobFailure failure) {
  take_in();
  for (const auto& job : active_) {
    drop(*job);
    metrics_.add_cancelled(failure == JobFailure::kStopped ? "stopped" : "model");
    job->job.on_failure(failure);
  }
  active_.clear();
}

void EngineLoop::step() {
  const auto start = Clock::now();
  try {
    const int64_t rows = std::min(limits_.rows, batcher_.running() + batcher_.waiting());
    batcher_.step();
    metrics_.add_step(rows, std::exchange(written_, 0), seconds_since(start));
  } catch (const Error& error) {  // the batcher has dropped everything
    log_line(LogLevel::kError, error.what());
    fail_all(JobFailure::kModel);
  } catch (const std::exception& error) {
    log_line(LogLevel::kError, format("a step failed: {}", error.what()));
    fail_all(JobFailure::kMemory);
  }
  std::erase_if(active_, [](const auto& job) { return job->left == 0; });
}

void EngineLoop::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kIdleWait,
                    [&] { return ending_ || !submitted_.empty() || !cancelled_.empty(); });
}

void EngineLoop::publish(bool always) {
  metrics_.set_queue(batcher_.running(), batcher_.waiting());
  if (!always && seconds_since(published_) < kPublishSeconds) return;
  metrics_.set_expert_use(model_.expert_use());
  published_ = Clock::now();
}

void EngineLoop::run(const std::function<void()>& between) {
  while (true) {
    between();
    take_in();
    drop_late();
    if (!active_.empty()) {
      step();
      publish(active_.empty());
      continue;
    }
    {
      const std::lock_guard lock(mutex_);
      if (ending_ && submitted_.empty()) break;
    }
    publish(false);
    wait();
  }
  publish(true);
}

}  // namespace switchyard
