// Attention of single rows over cached keys and values, as decoding needs it. The cache is made of
// pages of kPagePositions positions; a page holds, at an offset that the call names, the keys
// [H][K][kPagePositions] (positions side by side, so that a page's scores need no sum over
// registers) and the values [H][kPagePositions][K]: what one head reads lies together. T: float or
// Bf16, of the cache and the output.
// H: heads, K: width of a head (d_kv).
// Uses the threads of OpenMP. A row's result is the same to the bit whatever the other rows, the
// number of threads and what lies in a page behind the row's positions. Throws std::bad_alloc.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dispatch.h"

namespace switchyard::kernels {

inline constexpr int64_t kPagePositions = 16;

/// Pages for `positions` positions.
constexpr int64_t pages_for(int64_t positions) {
  return (positions + kPagePositions - 1) / kPagePositions;
}

/// Where in a page: elements of T from its start.
struct PageLayout {
  int64_t keys, values;
  int64_t heads, width;
};
/// The layout of layer `layer` in pages that hold several, one behind the other.
constexpr PageLayout page_layout(int64_t layer, int64_t heads, int64_t width) {
  const int64_t half = kPagePositions * heads * width;
  return {2 * layer * half, (2 * layer + 1) * half, heads, width};
}
/// Bytes of a page with `layers` layers.
template <class T>
constexpr std::size_t page_bytes(int64_t layers, int64_t heads, int64_t width) {
  return static_cast<std::size_t>(2 * layers * kPagePositions * heads * width) * sizeof(T);
}

/// Row r's key and value go to position positions[r] of pages[r].
template <class T>
struct CacheStore {
  PageLayout layout;
  int64_t rows;
  std::byte* const* pages;   // [rows], each aligned to T: the page that holds the position
  const int64_t* positions;  // [rows], within the page
  const float* key;          // [rows, H * K]
  const float* value;
  int64_t stride;  // elements between rows of key and of value
};

struct AttendingRow {
  const std::byte* const* pages;
  int64_t count;      // positions seen; 0 gives 0
  const float* bias;  // score of head h and position j += bias[h * bias_stride + j]; null: none
  const float* mask;  // [count], added to the scores of every head; null: none
};

template <class T>
struct CacheAttention {
  PageLayout layout;
  int64_t rows;
  const AttendingRow* row;  // [rows]
  const float* query;       // [rows, H * K]
  int64_t query_stride;
  int64_t bias_stride;
  T* output;  // [rows, H * K]
};

struct CacheAttentionTable {
  void (*store_f32)(const CacheStore<float>&);
  void (*store_bf16)(const CacheStore<Bf16>&);
  void (*attend_f32)(const CacheAttention<float>&);
  void (*attend_bf16)(const CacheAttention<Bf16>&);
};

void cache_store(const CacheStore<float>& arguments);
void cache_store(const CacheStore<Bf16>& arguments);
void cache_attention(const CacheAttention<float>& arguments);
void cache_attention(const CacheAttention<Bf16>& arguments);

}  // namespace switchyard::kernels
