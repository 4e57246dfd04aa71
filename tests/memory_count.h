// Bytes of tensors that this thread allocates and frees, counted exactly. Blocks that another
// thread frees stay counted.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <cstdint>
#include <memory>

namespace switchyard::testing {

class MemoryCount {
 public:
  /// Counts from here to its end.
  MemoryCount()
      : state_(std::make_shared<State>()), guard_(c10::DebugInfoKind::PROFILER_STATE, state_) {}

  int64_t live() const { return state_->live; }
  int64_t peak() const { return state_->peak; }

 private:
  struct State : c10::MemoryReportingInfoBase {
    void reportMemoryUsage(void* /*pointer*/, int64_t size, size_t /*allocated*/,
                           size_t /*reserved*/, c10::Device /*device*/) override {
      live += size;
      peak = std::max(peak, live);
    }
    bool memoryProfilingEnabled() const override { return true; }
    int64_t live = 0, peak = 0;
  };
  std::shared_ptr<State> state_;
  c10::DebugInfoGuard guard_;
};

}  // namespace switchyard::testing
