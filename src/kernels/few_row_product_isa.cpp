#include "kernels/few_row_product.h"

#include <algorithm>

#include "kernels/isa_few_rows.h"
#include "kernels/isa_matrix.h"
#include "kernels/isa_tiles.h"
#include "kernels/isa_vector.h"

namespace switchyard::kernels {
namespace {

// One step along the depth: a register of weights and of x, and their products added to a sum.
#if defined(__AVX512BF16__)
template <class T>
constexpr int64_t kStep = std::is_same_v<T, Bf16> ? 2 * kLanes : kLanes;
inline Vector piece(const Bf16* from) {
  Vector value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
#else
template <class T>
constexpr int64_t kStep = kLanes;
inline Vector piece(const Bf16* from) { return load(from); }
inline Vector multiply_add(const Bf16*, Vector sum, Vector a, Vector b) { return sum + a * b; }
#endif
inline Vector piece(const float* from) { return load(from); }

template <class T, int kOutputs, int kRows>
inline void dot_block(const T* weights, const T* x, int64_t depth, float* sums) {
  Vector sum[kOutputs][kRows] = {};
  int64_t d = 0;
  for (; d + kStep<T> <= depth; d += kStep<T>) {
    Vector w[kOutputs];
    for (int o = 0; o < kOutputs; ++o) w[o] = piece(weights + o * depth + d);
    for (int r = 0; r < kRows; ++r) {
      const Vector own = piece(x + r * depth + d);
      for (int o = 0; o < kOutputs; ++o) sum[o][r] = multiply_add(x, sum[o][r], w[o], own);
    }
  }
  for (int o = 0; o < kOutputs; ++o) {
    for (int r = 0; r < kRows; ++r) {
      float rest = 0;
      for (int64_t i = d; i < depth; ++i) {
        rest += to_float(weights[o * depth + i]) * to_float(x[r * depth + i]);
      }
      sums[r * kPanel + o] = sum_of(sum[o][r]) + rest;
    }
  }
}

template <class T, int kOutputs>
inline void dot_rows(const T* weights, const T* x, int64_t rows, int64_t depth, float* sums) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    dot_block<T, kOutputs, 4>(weights, x + r * depth, depth, sums + r * kPanel);
  }
  for (; r < rows; ++r) {
    dot_block<T, kOutputs, 1>(weights, x + r * depth, depth, sums + r * kPanel);
  }
}

/// Dot products along the depth.
template <class T>
class DotProducts {
 public:
  static int64_t most_rows(const FewRowProduct<T>& in) { return in.rows; }
  DotProducts(const FewRowProduct<T>& in, int64_t first, int64_t rows)
      : in_(in), first_(first), end_(first + rows) {}
  template <class Finish>
  void run(const Panel& panel, bool /*more*/, const Finish& finish) const {
    alignas(64) Sums sums;
    for (int64_t row = first_; row < end_; row += kRowBlock) {
      const int64_t rows = std::min(kRowBlock, end_ - row);
      multiply(panel, row, rows, sums);
      finish.sums(panel, row, rows, sums);
    }
  }

 private:
  void multiply(const Panel& panel, int64_t first_row, int64_t rows, float* sums) const {
    const int64_t depth = in_.depth;
    const T* x = in_.x + first_row * depth;
    const T* weights = in_.weights + panel.first * depth;
    int64_t o = 0;
    for (; o + 4 <= panel.outputs; o += 4) {
      dot_rows<T, 4>(weights + o * depth, x, rows, depth, sums + o);
    }
    for (; o < panel.outputs; ++o) {
      dot_rows<T, 1>(weights + o * depth, x, rows, depth, sums + o);
    }
  }

  const FewRowProduct<T>& in_;
  int64_t first_, end_;  // rows
};

#if defined(__AMX_BF16__) || defined(__AMXBF16__)  // GCC, Clang 14
template <class T>
using Multiplier =
    std::conditional_t<std::is_same_v<T, Bf16>, TileProducts<FewRowProduct<Bf16>>, DotProducts<T>>;
#else
template <class T>
using Multiplier = DotProducts<T>;
#endif

template <class T>
void products(const FewRowProduct<T>* list, int64_t count) {
  few_row_products_by<Multiplier<T>>(list, count);
}

}  // namespace

template <>
const FewRowTable& table_of<FewRowTable, kCompiledIsa>() {
  static constexpr FewRowTable kTable = {products<float>, products<Bf16>};
  return kTable;
}

}  // namespace switchyard::kernels
