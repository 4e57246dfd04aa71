#include "comm/mpi/mpi_wait.h"

#include <sched.h>

#include <chrono>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

/// Between two looks: at first the core is only offered to others, then it is left to them.
void pause_after(double waited) {
  constexpr double kYieldSeconds = 2e-3;
  if (waited < kYieldSeconds) {
    ::sched_yield();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(waited < 0.1 ? 50 : 500));
  }
}

}  // namespace

MpiPending::MpiPending(std::shared_ptr<MpiJob> job, MpiOperation operation, const MpiShared& shared)
    : job_(std::move(job)), operation_(std::move(operation)), shared_(shared) {}

MpiPending::~MpiPending() {
  if (!job_->done()) shared_.engine.halt();
}

bool MpiPending::done() {
  if (!job_->done()) shared_.engine.advance();
  return job_->done();
}

void MpiPending::wait() {
  const Clock::time_point start = Clock::now();
  while (!done()) {
    if (shared_.watch) {
      if (const auto failure = shared_.watch->failure()) {
        fail(*failure, "start the run again: it goes on from its last checkpoint");
      }
    }
    const double waited = seconds_since(start);
    if (waited > shared_.wait_seconds) {
      const std::string missing =
          shared_.watch
              ? shared_.watch->missing(operation_.channel, operation_.number, operation_.members)
              : "some rank";
      const std::string limit = format("within {:.3g} s", shared_.wait_seconds);
      if (missing.empty()) {
        fail("all ranks came, but their data did not arrive " + limit, "see to the network");
      }
      fail(missing + " did not come " + limit,
           "see what that rank does; if it is only slow, raise mesh.wait_seconds");
    }
    pause_after(waited);
  }
}

void MpiPending::fail(const std::string& what, const std::string& hint) const {
  shared_.engine.halt();
  throw runtime_failure(what, format("rank {}, {}", operation_.world_rank, operation_.name), hint);
}

}  // namespace switchyard
