// For *_isa.cpp files only (see dispatch.h): log sum exp over a row of logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/isa_math.h"

namespace switchyard::kernels {
namespace {

template <class T>
float largest(const T* logits, int64_t width, float scale) {
  float top = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : top)
  for (int64_t i = 0; i < width; ++i) {
    const float x = to_float(logits[i]) * scale;
    top = x > top ? x : top;
  }
  return top;
}

// Sum of e^(x - top): float32 over short stretches, double over these.
template <class T>
double sum_of_exponentials(const T* logits, int64_t width, float scale, float top) {
  constexpr int64_t kStretch = 2048;
  double total = 0;
  for (int64_t begin = 0; begin < width; begin += kStretch) {
    const int64_t end = std::min(width, begin + kStretch);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i)
      sum += vector_exp_below_one(to_float(logits[i]) * scale - top);
    total += sum;
  }
  return total;
}

}  // namespace
}  // namespace switchyard::kernels
