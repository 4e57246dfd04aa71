// For *_isa.cpp files only (see dispatch.h): sums of products by tile registers, against weights as
// they are stored. 16 weight rows are a left tile as they lie in memory; x is packed into right
// tiles, [block of 16 rows][depth / word][16 rows][word] with words of 4 bytes. Sums of a row are
// the same bits whatever the other rows: they go along the depth, tile by tile.
#pragma once

#if defined(__AMX_BF16__) || defined(__AMXBF16__)  // GCC, Clang 14

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/isa_few_rows.h"
#include "kernels/isa_matrix.h"
#include "kernels/scratch.h"

namespace switchyard::kernels {
namespace {

constexpr int64_t kSide = 16;       // rows of a tile
constexpr int64_t kTileBytes = 64;  // of one of its rows
constexpr int64_t kTileSums = kSide * kSide;
// Panels up to this are asked for while the one before runs. Of longer weight rows the processor
// sees by itself what comes next.
constexpr int64_t kAheadBytes = 1 << 17;

template <class T>
struct TileType;
template <>
struct TileType<Bf16> {
  using Sum = float;
  template <int kSum, int kLeft, int kRight>
  static void multiply_add() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
  }
};
template <>
struct TileType<int8_t> {
  using Sum = int32_t;
  template <int kSum, int kLeft, int kRight>
  static void multiply_add() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
  }
};

/// Product: FewRowProduct<Bf16> or Int8Product.
template <class Product>
class TileProducts {
 public:
  using T = std::remove_const_t<std::remove_pointer_t<decltype(Product::weights)>>;
  using Sum = typename TileType<T>::Sum;

  /// As many rows as one object should take, so that x stays in the core's own cache.
  static int64_t most_rows(const Product& in) {
    constexpr int64_t kCacheBytes = 3 << 19;
    const int64_t bytes = std::max<int64_t>(1, padded_depth(in) * kWidth);
    return std::max(kRowBlock, kCacheBytes / bytes / kRowBlock * kRowBlock);
  }

  /// Rows first .. first + rows of the product.
  TileProducts(const Product& in, int64_t first, int64_t rows)
      : in_(in), first_(first), rows_(rows), depth_(padded_depth(in)) {
    const int64_t blocks = rows > kSide ? round_up(rows, kRowBlock) / kSide : 1;
    packed_ = static_cast<T*>(
        scratch_bytes(1, static_cast<std::size_t>(blocks * kSide * depth_ * kWidth)));
    for (int64_t b = 0; b < blocks; ++b) pack(b);
  }

  /// `more`: the next panel follows.
  template <class Finish>
  void run(const Panel& panel, bool more, const Finish& finish) const {
    const T* own = in_.weights + panel.first * in_.depth;
    const bool whole = panel.outputs == kPanel && depth_ == in_.depth;
    LeftTiles left = {own, depth_ * kWidth, kSide * depth_, kTileDepth};
    if (!whole) left = {copy_panel(panel, own), kTileBytes, kSide * depth_, kSide * kTileDepth};
    if (rows_ <= kSide) {
      const bool ahead = whole && more && kPanel * depth_ * kWidth <= kAheadBytes;
      one_block(panel, left, ahead ? own + kPanel * depth_ : nullptr, finish);
    } else {
      many_blocks(panel, left, finish);
    }
  }

 private:
  static constexpr auto kWidth = static_cast<int64_t>(sizeof(T));
  static constexpr int64_t kTileDepth = kTileBytes / kWidth;
  static constexpr int64_t kWord = 4 / kWidth;
  using Type = TileType<T>;

  /// Where left tiles are, in elements but for the bytes between rows of one.
  struct LeftTiles {
    const T* base;
    int64_t row_bytes, tile, step;
  };

  static int64_t padded_depth(const Product& in) { return round_up(in.depth, kTileDepth); }

  void pack(int64_t block) {
    T* to = packed_ + block * kSide * depth_;
    const T* from = in_.x + (first_ + block * kSide) * in_.depth;
    const int64_t rows = std::clamp<int64_t>(rows_ - block * kSide, 0, kSide);
    if (rows == kSide && depth_ == in_.depth) {
      transpose(from, depth_ / kWord, kSide, depth_ / kWord, to, kSide);
      return;
    }
    std::memset(static_cast<void*>(to), 0, static_cast<std::size_t>(kSide * depth_ * kWidth));
    for (int64_t r = 0; r < rows; ++r) {
      const T* own = from + r * in_.depth;
      int64_t d = 0;
      for (; d + kWord <= in_.depth; d += kWord) {
        std::memcpy(to + d * kSide + r * kWord, own + d, 4);
      }
      for (; d < in_.depth; ++d) to[d / kWord * kWord * kSide + r * kWord + d % kWord] = own[d];
    }
  }

  /// One weight row, cut into rows of tiles.
  void copy_output(const T* from, T* to) const {
    int64_t d = 0;
    for (; d + kTileDepth <= in_.depth; d += kTileDepth) {
      std::memcpy(to + d * kSide, from + d, kTileBytes);
    }
    std::memcpy(static_cast<void*>(to + d * kSide), from + d,
                static_cast<std::size_t>((in_.depth - d) * kWidth));
  }

  /// Zeros stand for what the panel has not.
  T* copy_panel(const Panel& panel, const T* from) const {
    const auto bytes = static_cast<std::size_t>(kPanel * depth_ * kWidth);
    auto* copy = static_cast<T*>(scratch_bytes(2, bytes));
    std::memset(static_cast<void*>(copy), 0, bytes);
    for (int64_t o = 0; o < panel.outputs; ++o) {
      copy_output(from + o * in_.depth, copy + o / kSide * kSide * depth_ + o % kSide * kTileDepth);
    }
    return copy;
  }

  /// A tile of sums [output, row] of outputs from panel.first + output on, as far as there are.
  template <class Finish>
  static void put(const Panel& panel, int64_t output, int64_t row, int64_t rows, const Sum* tile,
                  const Finish& finish) {
    Vector square[kSide];
    for (int64_t i = 0; i < kSide; ++i) std::memcpy(&square[i], tile + i * kSide, kTileBytes);
    transpose_square(square);
    const Panel part = {panel.first + output, std::min(kSide, panel.outputs - output)};
    if (part.outputs == kSide) {
      finish.vectors(part.first, row, rows, square);
    } else if (part.outputs > 0) {
      alignas(64) Sum sums[kSide * kPanel];
      for (int64_t i = 0; i < kSide; ++i) std::memcpy(sums + i * kPanel, &square[i], kTileBytes);
      finish.sums(part, row, rows, sums);
    }
  }

  /// Reads weights once, and asks for lines from `ahead` on meanwhile.
  template <class Finish>
  void one_block(const Panel& panel, const LeftTiles& left, const T* ahead,
                 const Finish& finish) const {
    alignas(64) Sum tiles[4 * kTileSums];  // each [output, row]
    zero_tiles();
    const T* w = left.base;
    for (int64_t d = 0; d < depth_; d += kTileDepth) {
      if (ahead) ask_for_lines(ahead + d * kPanel);
      _tile_loadd(6, packed_ + d * kSide, kTileBytes);
      _tile_loadd(4, w, left.row_bytes);
      Type::template multiply_add<0, 4, 6>();
      _tile_loadd(5, w + left.tile, left.row_bytes);
      Type::template multiply_add<1, 5, 6>();
      _tile_loadd(4, w + 2 * left.tile, left.row_bytes);
      Type::template multiply_add<2, 4, 6>();
      _tile_loadd(5, w + 3 * left.tile, left.row_bytes);
      Type::template multiply_add<3, 5, 6>();
      w += left.step;
    }
    store_tiles(tiles);
    for (int64_t t = 0; t < 4; ++t) {
      put(panel, t * kSide, first_, rows_, tiles + t * kTileSums, finish);
    }
  }

  /// Two tiles of outputs by two blocks of rows at a time.
  template <class Finish>
  void many_blocks(const Panel& panel, const LeftTiles& left, const Finish& finish) const {
    alignas(64) Sum tiles[4 * kTileSums];
    for (int64_t row = 0; row < rows_; row += 2 * kSide) {
      for (int64_t o = 0; o < panel.outputs; o += 2 * kSide) {
        two_by_two(left, left.base + o / kSide * left.tile, packed_ + row * depth_, tiles);
        for (int64_t i = 0; i < 4; ++i) {
          const int64_t own_row = row + i % 2 * kSide;
          put(panel, o + i / 2 * kSide, first_ + own_row, std::min(kSide, rows_ - own_row),
              tiles + i * kTileSums, finish);
        }
      }
    }
  }

  /// -> [output tile][block of 16 rows].
  void two_by_two(const LeftTiles& left, const T* w, const T* x, Sum* to) const {
    zero_tiles();
    const T* next = x + depth_ * kSide;
    for (int64_t d = 0; d < depth_; d += kTileDepth) {
      _tile_loadd(4, w, left.row_bytes);
      _tile_loadd(6, x, kTileBytes);
      Type::template multiply_add<0, 4, 6>();
      _tile_loadd(7, next, kTileBytes);
      Type::template multiply_add<1, 4, 7>();
      _tile_loadd(5, w + left.tile, left.row_bytes);
      Type::template multiply_add<2, 5, 6>();
      Type::template multiply_add<3, 5, 7>();
      w += left.step;
      x += kSide * kTileDepth;
      next += kSide * kTileDepth;
    }
    store_tiles(to);
  }

  static void zero_tiles() {
    // GCC's loads of tiles are assembly that names no memory: what they read must be written.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }

  static void store_tiles(Sum* tiles) {
    _tile_stored(0, tiles, kTileBytes);
    _tile_stored(1, tiles + kTileSums, kTileBytes);
    _tile_stored(2, tiles + 2 * kTileSums, kTileBytes);
    _tile_stored(3, tiles + 3 * kTileSums, kTileBytes);
  }

  /// The lines of kPanel tile rows, in the order of memory.
  static void ask_for_lines(const T* from) {
    for (int64_t i = 0; i < kPanel; ++i) _mm_prefetch(from + i * kTileDepth, _MM_HINT_T1);
  }

  const Product& in_;
  int64_t first_, rows_, depth_;  // padded depth
  T* packed_;
};

}  // namespace
}  // namespace switchyard::kernels

#endif
