// The other yardstick: how fast this machine reads and copies memory.
#pragma once

#include <cstdint>

namespace switchyard {

struct MemoryRates {
  double read = 0;  // bytes/s
  double copy = 0;  // bytes/s, those read plus those written
};

/// Best of as many passes as fit in `seconds` for each rate (at least two), on the threads set for
/// LibTorch, over `working_set` bytes (at least 64 KiB): reading takes all of it, copying one half
/// to the other.
MemoryRates measure_memory_rates(int64_t working_set, double seconds = 0.5);

/// Bytes that no cache of this machine holds: four times its last level, at least 256 MiB, but no
/// more than a quarter of the memory that this process may use.
int64_t uncached_working_set();

}  // namespace switchyard
