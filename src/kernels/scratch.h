// Working memory of kernels, kept between calls so that a training step allocates nothing.
#pragma once

#include <cstddef>

namespace switchyard::kernels {

/// At least `bytes` bytes aligned to 64, owned by this thread and grown as needed; the content is
/// whatever was there. Slots (0 .. kScratchSlots - 1) let one kernel call hold several at a time; a
/// kernel that calls another must not share slots with it. Throws std::bad_alloc.
inline constexpr int kScratchSlots = 8;
void* scratch_bytes(int slot, std::size_t bytes);

}  // namespace switchyard::kernels
