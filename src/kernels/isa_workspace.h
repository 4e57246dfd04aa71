// For *_isa.cpp files only (see dispatch.h): cutting one piece of scratch memory into arrays.
#pragma once

#include <cstddef>
#include <cstdint>

namespace switchyard::kernels {
namespace {

/// Hands out arrays aligned to 64 bytes, one after the other. Started without memory it gives
/// null pointers and only adds up: used() then says how much memory the same calls will need.
class Workspace {
 public:
  explicit Workspace(void* memory) : memory_(static_cast<std::byte*>(memory)) {}

  template <class T>
  T* take(int64_t count) {
    std::byte* start = memory_ ? memory_ + used_ : nullptr;
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(start);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

}  // namespace
}  // namespace switchyard::kernels
