#include "kernels/scratch.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <new>

namespace switchyard::kernels {
namespace {

constexpr std::size_t kAlignment = 64;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

struct Slot {
  std::unique_ptr<void, Free> memory;
  std::size_t bytes = 0;
};

}  // namespace

void* scratch_bytes(int slot, std::size_t bytes) {
  thread_local std::array<Slot, kScratchSlots> slots;
  Slot& own = slots[static_cast<std::size_t>(slot)];
  if (bytes > own.bytes) {
    // Half as much again, so that slowly growing demands do not reallocate each time.
    const std::size_t wanted = std::max(bytes, own.bytes + own.bytes / 2);
    const std::size_t rounded = (wanted + kAlignment - 1) / kAlignment * kAlignment;
    own.memory.reset();
    own.bytes = 0;
    own.memory.reset(std::aligned_alloc(kAlignment, rounded));
    if (!own.memory) throw std::bad_alloc();
    own.bytes = rounded;
  }
  return own.memory.get();
}

}  // namespace switchyard::kernels
