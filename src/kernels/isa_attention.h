// For attention_isa.cpp only (see dispatch.h): what the forward and the backward pass of attention
// share. Sizes and packed inputs of one (sequence, head), which keys a row sees, the padded bias,
// and the passes over one row of scores.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/attention.h"
#include "kernels/isa_matrix.h"
#include "kernels/isa_workspace.h"

namespace switchyard::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kBlockRows = 64;
// Floats between the rows of a block: at least one vector of zeros on either side (add_diagonals),
// and an odd number of cache lines apart, so that rows do not fall on the same sets of the cache.
constexpr int64_t kRowGap = 32;
constexpr int kStepVectors = static_cast<int>(kMatrixMultiple) / kLanes;

/// Which keys a query row sees: those of [begin, end) whose penalty, if there is one, is 0.
struct Extent {
  int64_t begin, end;
  const float* penalty;  // [T]: 0 or -infinity; null: all of [begin, end)
};

class Visibility {
 public:
  template <class T>
  Visibility(const AttentionInputs<T>& in, int64_t b, float* penalty)
      : queries_(in.queries), keys_(in.keys), causal_(in.causal), penalty_(penalty) {
    if (!in.query_segments) return;
    query_segments_ = in.query_segments + b * in.queries;
    key_segments_ = in.key_segments + b * in.keys;
  }

  Extent of_row(int64_t i) {
    Extent extent{0, keys_, nullptr};
    if (query_segments_) {
      if (!segment_known_ || query_segments_[i] != segment_) find_segment(query_segments_[i]);
      extent = segment_extent_;
    }
    if (causal_) extent.end = std::min(extent.end, i + keys_ - queries_ + 1);
    extent.end = std::max(extent.begin, extent.end);
    return extent;
  }

 private:
  void find_segment(int64_t segment) {
    segment_ = segment;
    segment_known_ = true;
    int64_t begin = keys_, end = 0, count = 0;
    for (int64_t j = 0; j < keys_; ++j) {
      const bool equal = key_segments_[j] == segment;
      penalty_[j] = equal ? 0.0f : -kInfinity;
      if (!equal) continue;
      begin = std::min(begin, j);
      end = j + 1;
      ++count;
    }
    if (count == 0) begin = 0;
    segment_extent_ = {begin, end, count < end - begin ? penalty_ : nullptr};
  }

  int64_t queries_, keys_;
  bool causal_;
  const int64_t* query_segments_ = nullptr;
  const int64_t* key_segments_ = nullptr;
  bool segment_known_ = false;
  int64_t segment_ = 0;
  Extent segment_extent_{};
  float* penalty_;
};

/// Sizes of one (sequence, head), rounded up for the products.
struct Sizes {
  template <class T>
  explicit Sizes(const AttentionInputs<T>& in)
      : width(round_up(in.width, kMatrixMultiple)),
        rows(round_up(in.queries, kMatrixMultiple)),
        columns(round_up(in.keys, kMatrixMultiple)),
        stride(columns + kRowGap) {}
  int64_t width, rows, columns;
  int64_t stride;  // of matrices with a column per key
};

/// Columns [begin, end) that some row of a block sees, rounded out to multiples for the products.
struct Columns {
  int64_t begin, end;
  int64_t count() const { return end - begin; }
};

inline Columns columns_of_block(Visibility& visibility, int64_t first_row, int64_t rows) {
  int64_t begin = std::numeric_limits<int64_t>::max(), end = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const Extent extent = visibility.of_row(first_row + r);
    if (extent.begin == extent.end) continue;
    begin = std::min(begin, extent.begin);
    end = std::max(end, extent.end);
  }
  if (end == 0) return {0, 0};
  return {begin / kMatrixMultiple * kMatrixMultiple, round_up(end, kMatrixMultiple)};
}

/// Sets what the row does not see to -infinity, within the steps of vectors that hold its extent,
/// and returns those steps.
inline Columns mask_row(const Extent& extent, float* scores) {
  const Columns steps = {extent.begin / kMatrixMultiple * kMatrixMultiple,
                         round_up(extent.end, kMatrixMultiple)};
  for (int64_t j = steps.begin; j < extent.begin; ++j) scores[j] = -kInfinity;
  for (int64_t j = extent.end; j < steps.end; ++j) scores[j] = -kInfinity;
  if (extent.penalty) {
#pragma omp simd
    for (int64_t j = extent.begin; j < extent.end; ++j) scores[j] += extent.penalty[j];
  }
  return steps;
}

template <class P>
void fill_zero(P* row, int64_t begin, int64_t end) {
  std::memset(static_cast<void*>(row + begin), 0,
              static_cast<std::size_t>(std::max<int64_t>(end - begin, 0)) * sizeof(P));
}

struct SoftmaxSums {
  float sum, log_sum;
};

/// exp(score - largest) of a row into `out`, zeros elsewhere in `columns`.
template <class P>
SoftmaxSums softmax_row(const Extent& extent, const Columns& columns, float* scores, P* out) {
  if (extent.begin == extent.end) {
    fill_zero(out, columns.begin, columns.end);
    return {0.0f, kInfinity};
  }
  const Columns steps = mask_row(extent, scores);
  Vector largest[kStepVectors];
  for (Vector& v : largest) v = splat(-kInfinity);
  for (int64_t j = steps.begin; j < steps.end; j += kMatrixMultiple) {
    for (int v = 0; v < kStepVectors; ++v) {
      largest[v] = larger(largest[v], load(scores + j + v * kLanes));
    }
  }
  for (int v = 1; v < kStepVectors; ++v) largest[0] = larger(largest[0], largest[v]);
  const float top = largest_of(largest[0]);
  Vector sum[kStepVectors] = {};
  fill_zero(out, columns.begin, steps.begin);
  for (int64_t j = steps.begin; j < steps.end; j += kMatrixMultiple) {
    for (int v = 0; v < kStepVectors; ++v) {
      const Vector e = vector_exp_below_one(load(scores + j + v * kLanes) - top);
      sum[v] += e;
      store_vector(out + j + v * kLanes, e);
    }
  }
  fill_zero(out, steps.end, columns.end);
  for (int v = 1; v < kStepVectors; ++v) sum[0] += sum[v];
  const float total = sum_of(sum[0]);
  return {total, top + std::log(total)};
}

/// Scores to probabilities, in place; returns the sum of probability times dP.
inline float probability_row(const Extent& extent, const Columns& columns, float log_sum,
                             float* scores, const float* dprobabilities) {
  if (extent.begin == extent.end) {
    fill_zero(scores, columns.begin, columns.end);
    return 0.0f;
  }
  const Columns steps = mask_row(extent, scores);
  fill_zero(scores, columns.begin, steps.begin);
  Vector sum[kStepVectors] = {};
  for (int64_t j = steps.begin; j < steps.end; j += kMatrixMultiple) {
    for (int v = 0; v < kStepVectors; ++v) {
      const int64_t at = j + v * kLanes;
      const Vector p = vector_exp_below_one(load(scores + at) - log_sum);
      sum[v] += p * load(dprobabilities + at);
      store_vector(scores + at, p);
    }
  }
  fill_zero(scores, steps.end, columns.end);
  for (int v = 1; v < kStepVectors; ++v) sum[0] += sum[v];
  return sum_of(sum[0]);
}

/// The bias of one head with room on both sides for the rows and columns that pad a block: score
/// (i, j) starts from at(i, j), and the next row is one element before.
class PaddedBias {
 public:
  PaddedBias(Workspace& workspace, const Sizes& sizes, int64_t queries)
      : queries_(queries), values_(workspace.take<float>(kMargin + queries + sizes.columns)) {}

  template <class T>
  void fill(const AttentionInputs<T>& in, const Sizes& sizes, int64_t head) {
    has_bias_ = in.offset_bias != nullptr;
    if (!has_bias_) return;
    const int64_t count = in.queries + in.keys - 1;
    fill_zero(values_, 0, kMargin);
    std::memcpy(values_ + kMargin, in.offset_bias + head * count,
                static_cast<std::size_t>(count) * sizeof(float));
    fill_zero(values_, kMargin + count, kMargin + in.queries + sizes.columns);
  }
  Initial at(int64_t row, int64_t column) const {
    if (!has_bias_) return {};
    return {values_ + kMargin + column - row + queries_ - 1, -1};
  }

 private:
  static constexpr int64_t kMargin = kMatrixMultiple;
  int64_t queries_;
  bool has_bias_ = false;
  float* values_;
};

/// A matrix of the input, [rows, width] of one (sequence, head), in the forms that products take.
template <class T>
struct PackedRows {
  using P = Packed<T>;
  static constexpr bool kPairs = kPair<P> > 1;

  PackedRows(Workspace& workspace, int64_t padded_rows, int64_t padded_width)
      : rows(padded_rows),
        width(padded_width),
        left(workspace.take<P>(rows * width)),
        right(kPairs ? workspace.take<P>(rows * width) : left) {}

  void pack(const T* from, int64_t stride, int64_t count, int64_t used_width) {
    pack_rows(from, stride, count, used_width, left, rows, width);
  }
  void make_right() {
    if constexpr (kPairs) interleave_rows(left, rows, width, right);
  }
  /// The right factor [width, rows]; to_stride: columns.
  void transpose_to_right(P* to, int64_t to_stride) const {
    transpose(left, width / kPair<P>, rows, width / kPair<P>, to, to_stride);
  }
  /// The left factor [width, rows]; needs make_right().
  void transpose_to_left(P* to) const {
    transpose(right, width, rows / kPair<P>, width, to, rows / kPair<P>);
  }

  int64_t rows, width;
  P* left;
  P* right;
};

/// Which (sequence, head) a piece of work is about.
struct Item {
  int64_t b, h;
};

template <class T>
const T* start_of(const T* data, int64_t stride, int64_t length, const Item& item, int64_t width) {
  return data + item.b * length * stride + item.h * width;
}

}  // namespace
}  // namespace switchyard::kernels
