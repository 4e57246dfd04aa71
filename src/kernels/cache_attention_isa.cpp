#include "kernels/cache_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/isa_matrix.h"
#include "kernels/isa_vector.h"
#include "kernels/scratch.h"

namespace switchyard::kernels {
namespace {

// Below these, waking threads costs more than they save.
constexpr int64_t kSerialStore = 1 << 13, kSerialAttend = 1 << 14;

/// Rows that follow each other through a whole page: 16 keys of a head become kPagePositions
/// columns at once.
template <class T>
void store_page(const CacheStore<T>& in, int64_t first_row, int64_t h) {
  const int64_t width = in.layout.width, offset = h * width * kPagePositions;
  T* page = reinterpret_cast<T*>(in.pages[first_row]);
  T* keys = page + in.layout.keys + offset;
  T* values = page + in.layout.values + offset;
  const float* key = in.key + first_row * in.stride + h * width;
  const float* value = in.value + first_row * in.stride + h * width;
  for (int64_t k = 0; k < width; k += kLanes) {
    for (int64_t r = 0; r < kPagePositions; r += kLanes) {
      Vector square[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) square[i] = load(key + (r + i) * in.stride + k);
      transpose_square(square);
      for (int64_t i = 0; i < kLanes; ++i) {
        store_rounded(keys + (k + i) * kPagePositions + r, square[i]);
      }
    }
    for (int64_t r = 0; r < kPagePositions; ++r) {
      store_rounded(values + r * width + k, load(value + r * in.stride + k));
    }
  }
}

template <class T>
void store_row(const CacheStore<T>& in, int64_t row, int64_t h) {
  const int64_t width = in.layout.width, offset = h * width * kPagePositions;
  const int64_t position = in.positions[row];
  T* page = reinterpret_cast<T*>(in.pages[row]);
  const float* key = in.key + row * in.stride + h * width;
  const float* value = in.value + row * in.stride + h * width;
  T* keys = page + in.layout.keys + offset + position;
  T* values = page + in.layout.values + offset + position * width;
  int64_t k = 0;
  for (; k + kLanes <= width; k += kLanes) {
    T lanes[kLanes];
    store_rounded(lanes, load(key + k));
    for (int64_t i = 0; i < kLanes; ++i) keys[(k + i) * kPagePositions] = lanes[i];
    store_rounded(values + k, load(value + k));
  }
  for (; k < width; ++k) {
    store(keys + k * kPagePositions, key[k]);
    store(values + k, value[k]);
  }
}

template <class T>
bool is_whole_page(const CacheStore<T>& in, int64_t row) {
  if (in.layout.width % kLanes != 0 || row + kPagePositions > in.rows) return false;
  for (int64_t i = 0; i < kPagePositions; ++i) {
    if (in.pages[row + i] != in.pages[row] || in.positions[row + i] != i) return false;
  }
  return true;
}

template <class T>
void store_cache(const CacheStore<T>& in) {
  // By heads, so that no two threads write into one line.
#pragma omp parallel for schedule(static) if (in.rows * in.layout.heads * in.layout.width > \
                                              kSerialStore)
  for (int64_t h = 0; h < in.layout.heads; ++h) {
    for (int64_t r = 0; r < in.rows;) {
      if (is_whole_page(in, r)) {
        store_page(in, r, h);
        r += kPagePositions;
      } else {
        store_row(in, r++, h);
      }
    }
  }
}

constexpr int64_t kParts = kPagePositions / kLanes;  // registers of a page's positions
constexpr int64_t kChains = 4;                       // sums that do not wait for each other

/// Asks for what the next head reads of a page, half of which this one has just read.
template <class T>
inline void ask_for_next(const T* half, int64_t width) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  const T* next = half + width * kPagePositions;
  for (int64_t i = 0; i < width * kPagePositions; i += kLine) __builtin_prefetch(next + i);
}

/// Scores of the 16 positions of a page.
template <class T>
inline void page_scores(const T* keys, const float* query, int64_t width, float* scores) {
  Vector sum[kChains][kParts] = {};
  int64_t k = 0;
  for (; k + kChains <= width; k += kChains) {
    for (int64_t c = 0; c < kChains; ++c) {
      const Vector q = splat(query[k + c]);
      for (int64_t p = 0; p < kParts; ++p) {
        sum[c][p] += q * load(keys + (k + c) * kPagePositions + p * kLanes);
      }
    }
  }
  for (; k < width; ++k) {
    for (int64_t p = 0; p < kParts; ++p) {
      sum[0][p] += splat(query[k]) * load(keys + k * kPagePositions + p * kLanes);
    }
  }
  for (int64_t p = 0; p < kParts; ++p) {
    store_vector(scores + p * kLanes, (sum[0][p] + sum[1][p]) + (sum[2][p] + sum[3][p]));
  }
}

/// exp(score - largest) in place, the sum of which comes back; 0 if no score is above -infinity.
inline float exponentials(float* scores, int64_t count) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  const int64_t padded = pages_for(count) * kPagePositions;
  std::fill(scores + count, scores + padded, kNone);
  Vector top = splat(kNone);
  for (int64_t j = 0; j < padded; j += kLanes) top = larger(top, load(scores + j));
  const float largest = over_lanes(top, larger);
  if (largest == kNone) return 0;
  Vector sum{};
  for (int64_t j = 0; j < padded; j += kLanes) {
    const Vector e = vector_exp_below_one(load(scores + j) - largest);
    store_vector(scores + j, e);
    sum += e;
  }
  return sum_of(sum);
}

/// kVectors registers of the output; `offset`: of their values in each page.
template <class T, int kVectors>
inline void weighted_sum(const AttendingRow& row, int64_t offset, int64_t width,
                         const float* weights, float factor, T* output) {
  Vector sum[kVectors] = {};
  for (int64_t first = 0; first < row.count; first += kPagePositions) {
    const T* page = reinterpret_cast<const T*>(row.pages[first / kPagePositions]) + offset;
    const int64_t positions = std::min(kPagePositions, row.count - first);
    for (int64_t j = 0; j < positions; ++j) {
      const Vector weight = splat(weights[first + j]);
      for (int v = 0; v < kVectors; ++v) sum[v] += weight * load(page + j * width + v * kLanes);
    }
  }
  for (int v = 0; v < kVectors; ++v) store_vector(output + v * kLanes, sum[v] * factor);
}

template <class T>
void attend_head(const CacheAttention<T>& in, int64_t r, int64_t h) {
  const AttendingRow& row = in.row[r];
  const int64_t width = in.layout.width, inner = in.layout.heads * width, start = h * width;
  T* output = in.output + r * inner + start;
  const int64_t pages = pages_for(row.count);
  auto* scores = static_cast<float*>(
      scratch_bytes(0, static_cast<std::size_t>(pages * kPagePositions) * sizeof(float)));
  const float* query = in.query + r * in.query_stride + start;
  for (int64_t p = 0; p < pages; ++p) {
    const T* keys =
        reinterpret_cast<const T*>(row.pages[p]) + in.layout.keys + start * kPagePositions;
    page_scores(keys, query, width, scores + p * kPagePositions);
    if (h + 1 < in.layout.heads) {
      ask_for_next(keys, width);
      ask_for_next(keys + (in.layout.values - in.layout.keys), width);
    }
  }
  for (int64_t j = 0; row.bias && j < row.count; ++j) scores[j] += row.bias[h * in.bias_stride + j];
  for (int64_t j = 0; row.mask && j < row.count; ++j) scores[j] += row.mask[j];
  const float sum = exponentials(scores, row.count);
  if (sum == 0) {
    for (int64_t k = 0; k < width; ++k) store(output + k, 0.0f);
    return;
  }
  const float factor = 1.0f / sum;
  int64_t k = 0;
  const int64_t offset = in.layout.values + start * kPagePositions;
  for (; k + 4 * kLanes <= width; k += 4 * kLanes) {
    weighted_sum<T, 4>(row, offset + k, width, scores, factor, output + k);
  }
  for (; k + kLanes <= width; k += kLanes) {
    weighted_sum<T, 1>(row, offset + k, width, scores, factor, output + k);
  }
  for (; k < width; ++k) {
    float total = 0;
    for (int64_t j = 0; j < row.count; ++j) {
      const T* page = reinterpret_cast<const T*>(row.pages[j / kPagePositions]);
      total += scores[j] * to_float(page[offset + j % kPagePositions * width + k]);
    }
    store(output + k, total * factor);
  }
}

template <class T>
void attend(const CacheAttention<T>& in) {
  int64_t work = 0;
  for (int64_t r = 0; r < in.rows; ++r) work += in.row[r].count;
  work *= in.layout.heads * in.layout.width;
#pragma omp parallel for collapse(2) schedule(static) if (work > kSerialAttend)
  for (int64_t r = 0; r < in.rows; ++r) {
    for (int64_t h = 0; h < in.layout.heads; ++h) attend_head(in, r, h);
  }
}

}  // namespace

template <>
const CacheAttentionTable& table_of<CacheAttentionTable, kCompiledIsa>() {
  static constexpr CacheAttentionTable kTable = {store_cache<float>, store_cache<Bf16>,
                                                 attend<float>, attend<Bf16>};
  return kTable;
}

}  // namespace switchyard::kernels
