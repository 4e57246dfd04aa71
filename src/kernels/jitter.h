// Multiplication by random factors drawn from counters, many counters at once: the numbers are
// those of RandomStream (base/random.h) to the bit, so backward and any split of the rows draw them
// again. Uses the threads of OpenMP.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dispatch.h"

namespace switchyard::kernels {

/// y = x * (low + span * u), u uniform in [0, 1): row r draws as row first_row + r of a stream in
/// which each row takes (width + 3) / 4 draws of four numbers. Any alignment; y may be x if of one
/// type.
template <class T>
struct Jitter {
  const T* x;  // [rows, width]
  int64_t rows, width, first_row;
  uint64_t key;      // of the stream,
  uint32_t high[2];  // and its other words
  float low, span;
  T* y;  // [rows, width]
};

struct JitterTable {
  void (*f32)(const Jitter<float>&);
  void (*bf16)(const Jitter<Bf16>&);
};

void jitter(const Jitter<float>& arguments);
void jitter(const Jitter<Bf16>& arguments);

}  // namespace switchyard::kernels
