#include "kernels/jitter.h"

#include <algorithm>

#include "kernels/isa_random.h"

namespace switchyard::kernels {
namespace {

template <class T>
void jitter_row(const Jitter<T>& in, int64_t r) {
  const int64_t draws = (in.width + 3) / 4;
  const auto first = static_cast<uint64_t>((in.first_row + r) * draws);
  const T* x = in.x + r * in.width;
  T* y = in.y + r * in.width;
  uint32_t words[4][kDrawBatch];
  float factors[4 * kDrawBatch];
  for (int64_t d = 0; d < draws; d += kDrawBatch) {
    draw_batch(in.key, in.high, first + static_cast<uint64_t>(d), words);
#pragma omp simd
    for (int64_t j = 0; j < kDrawBatch; ++j) {
      for (int64_t k = 0; k < 4; ++k)
        factors[4 * j + k] = in.low + in.span * unit_float(words[k][j]);
    }
    const int64_t count = std::min(4 * kDrawBatch, in.width - 4 * d);
    const T* from = x + 4 * d;
    T* to = y + 4 * d;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) store(to + i, to_float(from[i]) * factors[i]);
  }
}

template <class T>
void jitter_all(const Jitter<T>& in) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < in.rows; ++r) jitter_row(in, r);
}

}  // namespace

template <>
const JitterTable& table_of<JitterTable, kCompiledIsa>() {
  static constexpr JitterTable kTable = {jitter_all<float>, jitter_all<Bf16>};
  return kTable;
}

}  // namespace switchyard::kernels
