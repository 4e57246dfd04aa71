// What the tests of this folder share: made-up values, memory at odd addresses, threads.
#pragma once

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/bf16.h"

namespace switchyard::kernels::testing {

/// `count` elements that start one element past a 64-byte boundary when `misaligned`.
template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t count, bool misaligned = true)
      : count_(count), storage_(static_cast<size_t>(count) + 2 * kLine) {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    const uintptr_t skip = (64 - address % 64) % 64 / sizeof(T);
    start_ = storage_.data() + skip + (misaligned ? 1 : 0);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* data() { return start_; }
  const T* data() const { return start_; }
  T& operator[](int64_t i) { return start_[i]; }
  const T& operator[](int64_t i) const { return start_[i]; }
  int64_t size() const { return count_; }
  void fill(T value) {
    for (int64_t i = 0; i < count_; ++i) start_[i] = value;
  }

 private:
  static constexpr size_t kLine = 64 / sizeof(T) + 1;
  int64_t count_;
  std::vector<T> storage_;
  T* start_;
};

/// Normal values, the same for the same seed; bf16 ones are rounded.
template <class T>
void fill_random(Buffer<T>& buffer, uint32_t seed, float size = 1.0f) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0, size);
  for (int64_t i = 0; i < buffer.size(); ++i) store(&buffer[i], normal(engine));
}

/// `values` on `threads` OpenMP threads, the former number restored afterwards.
template <class Function>
void with_threads(int threads, const Function& function) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  function();
  omp_set_num_threads(before);
}

/// A bfloat16 result may be off by half a unit in its last place, besides the float error.
template <class T>
double tolerance(double value, double float_error) {
  const double rounding = std::is_same_v<T, Bf16> ? 1.0 / 256 : 0.0;
  return float_error + std::abs(value) * (rounding + 1e-6);
}

}  // namespace switchyard::kernels::testing
