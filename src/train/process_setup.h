// Process-wide settings that make long runs of tensor work fast and repeatable.
#pragma once

namespace switchyard {

/// Sets the threads of LibTorch and OpenMP (>= 1), makes them all flush denormal numbers, and keeps
/// freed memory in the process: activations of one step reuse the pages of the step before instead
/// of being mapped and zeroed anew. Call once, from the main thread, before any tensor work; a
/// second call with the same number changes nothing.
void prepare_process(int threads);

}  // namespace switchyard
