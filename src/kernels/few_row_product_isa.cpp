#include "kernels/few_row_product.h"

#include <algorithm>

#include "kernels/isa_few_rows.h"
#include "kernels/isa_matrix.h"
#include "kernels/isa_vector.h"
#include "kernels/scratch.h"

namespace switchyard::kernels {
namespace {

constexpr int64_t kSide = 16;  // of a tile

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
  explicit DotProducts(const FewRowProduct<T>& in) : in_(in) {}
  void operator()(const Panel& panel, int64_t first_row, int64_t rows, float* sums) const {
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

 private:
  const FewRowProduct<T>& in_;
};

#if defined(__AMX_BF16__) || defined(__AMXBF16__)  // GCC, Clang 14
constexpr int64_t kTileDepth = 32;

/// 16 weight rows are a left tile as they lie in memory; x is packed into right tiles once a
/// thread and product: [row block][depth / 2][16 rows][2].
class TileProducts {
 public:
  explicit TileProducts(const FewRowProduct<Bf16>& in)
      : in_(in), depth_(round_up(in.depth, kTileDepth)) {
    const int64_t blocks = (in.rows + kRowBlock - 1) / kRowBlock;
    packed_ = static_cast<Bf16*>(
        scratch_bytes(0, static_cast<std::size_t>(blocks * kRowBlock * depth_) * sizeof(Bf16)));
    for (int64_t b = 0; b < blocks; ++b) pack(b);
  }

  void operator()(const Panel& panel, int64_t first_row, int64_t /*rows*/, float* sums) const {
    const Bf16* x = packed_ + first_row * depth_;
    alignas(64) float tiles[kPanel * kSide];  // [output, row]
    if (depth_ == in_.depth && panel.outputs == kPanel) {
      multiply_four(weights_at(panel.first), x, tiles);
    } else {
      for (int64_t o = 0; o < panel.outputs; o += kSide) {
        multiply_one(panel, o, x, tiles + o * kSide);
      }
    }
    for (int64_t o = 0; o < panel.outputs; o += kSide) {
      transpose(tiles + o * kSide, kSide, kSide, kSide, sums + o, kPanel);
    }
  }

 private:
  const Bf16* weights_at(int64_t output) const { return in_.weights + output * in_.depth; }

  void pack(int64_t block) {
    Bf16* to = packed_ + block * kRowBlock * depth_;
    std::memset(static_cast<void*>(to), 0,
                static_cast<std::size_t>(kRowBlock * depth_) * sizeof(Bf16));
    const int64_t rows = std::min(kRowBlock, in_.rows - block * kRowBlock);
    for (int64_t r = 0; r < rows; ++r) {
      const Bf16* from = in_.x + (block * kRowBlock + r) * in_.depth;
      int64_t d = 0;
      for (; d + 2 <= in_.depth; d += 2) {
        std::memcpy(to + d * kRowBlock + 2 * r, from + d, 2 * sizeof(Bf16));
      }
      if (d < in_.depth) to[d * kRowBlock + 2 * r] = from[d];
    }
  }

  void multiply_four(const Bf16* weights, const Bf16* x, float* tiles) const {
    const int64_t stride = depth_ * static_cast<int64_t>(sizeof(Bf16));
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t d = 0; d < depth_; d += kTileDepth) {
      const Bf16* w = weights + d;
      _tile_loadd(6, x + d * kRowBlock, 64);
      _tile_loadd(4, w, stride);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(5, w + kSide * depth_, stride);
      _tile_dpbf16ps(1, 5, 6);
      _tile_loadd(4, w + 2 * kSide * depth_, stride);
      _tile_dpbf16ps(2, 4, 6);
      _tile_loadd(5, w + 3 * kSide * depth_, stride);
      _tile_dpbf16ps(3, 5, 6);
    }
    _tile_stored(0, tiles, 64);
    _tile_stored(1, tiles + kSide * kSide, 64);
    _tile_stored(2, tiles + 2 * kSide * kSide, 64);
    _tile_stored(3, tiles + 3 * kSide * kSide, 64);
  }

  /// Outputs from `first` of the panel on, at most 16, through a copy with zeros around it.
  void multiply_one(const Panel& panel, int64_t first, const Bf16* x, float* tile) const {
    const Bf16* weights = weights_at(panel.first + first);
    const int64_t outputs = std::min(kSide, panel.outputs - first);
    if (outputs < kSide || depth_ != in_.depth) {
      auto* copy = static_cast<Bf16*>(
          scratch_bytes(1, static_cast<std::size_t>(kSide * depth_) * sizeof(Bf16)));
      pack_rows(weights, in_.depth, outputs, in_.depth, copy, kSide, depth_);
      weights = copy;
    }
    const int64_t stride = depth_ * static_cast<int64_t>(sizeof(Bf16));
    _tile_zero(0);
    for (int64_t d = 0; d < depth_; d += kTileDepth) {
      _tile_loadd(4, weights + d, stride);
      _tile_loadd(6, x + d * kRowBlock, 64);
      _tile_dpbf16ps(0, 4, 6);
    }
    _tile_stored(0, tile, 64);
  }

  const FewRowProduct<Bf16>& in_;
  int64_t depth_;  // padded
  Bf16* packed_;
};

template <class T>
using Multiplier = std::conditional_t<std::is_same_v<T, Bf16>, TileProducts, DotProducts<T>>;
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
