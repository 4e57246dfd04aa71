// A falling rate of steps.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace switchyard {

/// Medians in seconds a step.
struct Slowness {
  double now = 0, before = 0;
};

/// Of this process: another machine may take up the run, so nothing of it is saved. Not
/// thread-safe.
class SlownessDetector {
 public:
  /// `window`: steps whose median counts (0: never finds anything); `drop`: part of the rate that
  /// must be lost.
  SlownessDetector(int64_t window, double drop) : window_(window), drop_(drop) {}

  /// Adds a step. A finding when the last window has become that much slower than the eight windows
  /// before it (two at least); then not again until the rate has recovered or is what it was over
  /// those eight windows.
  std::optional<Slowness> add(double seconds);

 private:
  int64_t window_;
  double drop_;
  bool slow_ = false;
  std::vector<double> seconds_;  // of the last nine windows
};

}  // namespace switchyard
