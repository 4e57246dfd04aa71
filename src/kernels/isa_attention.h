// For attention_isa.cpp only (see dispatch.h): what the forward and the backward pass of attention
// share. Sizes and packed inputs of one (sequence, head), which keys a row sees, the padded bias,
// and the passes over one row of a panel of scores.
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
// Floats between the rows of a block: at least one vector of zeros on either side (add_diagonals),
// and enough cache lines that rows do not fall on the same sets of the cache.
constexpr int64_t kRowGap = 32;
constexpr int kStepVectors = static_cast<int>(kMatrixMultiple) / kLanes;

/// Which keys a query row sees: those of [begin, end) whose penalty, if there is one, is 0.
struct Extent {
  int64_t begin, end;
  const float* penalty;  // [T]: 0 or -infinity; null: all of [begin, end)

  bool empty() const { return begin >= end; }
  /// What of it lies within `count` keys from `first`, counted from there.
  Extent within(int64_t first, int64_t count) const {
    return {std::max<int64_t>(begin - first, 0), std::min(end - first, count),
            penalty ? penalty + first : nullptr};
  }
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

/// The steps of vectors that hold an extent.
inline Columns steps_of(const Extent& seen) {
  return {seen.begin / kMatrixMultiple * kMatrixMultiple, round_up(seen.end, kMatrixMultiple)};
}

/// Sets what the row does not see to -infinity, within the steps that hold its extent, and returns
/// those steps.
inline Columns mask_row(const Extent& seen, float* scores) {
  const Columns steps = steps_of(seen);
  for (int64_t j = steps.begin; j < seen.begin; ++j) scores[j] = -kInfinity;
  for (int64_t j = seen.end; j < steps.end; ++j) scores[j] = -kInfinity;
  if (seen.penalty) {
#pragma omp simd
    for (int64_t j = seen.begin; j < seen.end; ++j) scores[j] += seen.penalty[j];
  }
  return steps;
}

template <class P>
void fill_zero(P* row, int64_t begin, int64_t end) {
  if (begin >= end) return;
  std::memset(static_cast<void*>(row + begin), 0,
              static_cast<std::size_t>(end - begin) * sizeof(P));
}

/// exp(score - top) of scores that are not above `top` by more than 1.
template <class P>
class SoftmaxExp {
 public:
  explicit SoftmaxExp(float top) : top_(top) {}
  Vector operator()(Vector score) const { return vector_exp_below_one(score - top_); }

 private:
  float top_;
};

#if defined(__AVX512BF16__)
/// The same in fewer instructions, within 3e-7 for scores above top - 4, and 1 for `top` itself:
/// the gradient wants probabilities whose sum is 1, although each is rounded to 8 bits for the
/// products.
template <>
class SoftmaxExp<Bf16> {
 public:
  explicit SoftmaxExp(float top) : top_(top) {}
  Vector operator()(Vector score) const {
    const Vector x = (score - top_) * 1.44269504f;
    constexpr int kFraction = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;  // x - floor(x)
    // The masks leave nothing out: without them GCC 12 warns of an uninitialized operand.
    const auto f = reinterpret_cast<Vector>(
        _mm512_maskz_reduce_ps(kAllLanes, reinterpret_cast<__m512>(x), kFraction));
    Vector p = 1.8671335e-3f * f + 9.017023e-3f;
    p = p * f + 5.579992e-2f;
    p = p * f + 2.4016444e-1f;
    p = p * f + 6.931513e-1f;
    p = p * f + 1.0f;
    // times 2^floor(x)
    return reinterpret_cast<Vector>(_mm512_maskz_scalef_ps(kAllLanes, reinterpret_cast<__m512>(p),
                                                           reinterpret_cast<__m512>(x)));
  }

 private:
  static constexpr __mmask16 kAllLanes = 0xFFFF;
  float top_;
};
#endif

/// Softmax of a block of rows, taken in panel by panel. Of each row: the largest score so far, and
/// the sum of exp(score - largest), a lane each for every kLanes-th score.
template <int64_t kRows>
struct RunningSoftmax {
  alignas(64) float top[kRows];
  Vector sum[kRows];

  RunningSoftmax() {
    for (float& t : top) t = -kInfinity;
    for (Vector& s : sum) s = Vector{};
  }
};

/// The largest score of a panel's row that it sees, lane by lane.
inline Vector largest_scores(const Extent& seen, float* scores) {
  if (seen.empty()) return splat(-kInfinity);
  const Columns steps = mask_row(seen, scores);
  Vector largest[kStepVectors];
  for (Vector& v : largest) v = splat(-kInfinity);
  for (int64_t j = steps.begin; j < steps.end; j += kMatrixMultiple) {
    for (int v = 0; v < kStepVectors; ++v) {
      largest[v] = larger(largest[v], load(scores + j + v * kLanes));
    }
  }
  for (int v = 1; v < kStepVectors; ++v) largest[0] = larger(largest[0], largest[v]);
  return largest[0];
}

/// exp(score - top) of a panel's row, masked already, into `out`, zero where it does not see;
/// returns their sums lane by lane.
template <class P>
Vector exponentials(const Extent& seen, int64_t count, float top, const float* scores, P* out) {
  if (seen.empty()) {
    fill_zero(out, 0, count);
    return Vector{};
  }
  const SoftmaxExp<P> exp_of_score(top);
  const Columns steps = steps_of(seen);
  Vector sum[kStepVectors] = {};
  fill_zero(out, 0, steps.begin);
  for (int64_t j = steps.begin; j < steps.end; j += kMatrixMultiple) {
    for (int v = 0; v < kStepVectors; v += 2) {
      const Vector first = exp_of_score(load(scores + j + v * kLanes));
      const Vector second = exp_of_score(load(scores + j + (v + 1) * kLanes));
      sum[v] += first;
      sum[v + 1] += second;
      store_vectors(out + j + v * kLanes, first, second);
    }
  }
  fill_zero(out, steps.end, count);
  for (int v = 1; v < kStepVectors; ++v) sum[0] += sum[v];
  return sum[0];
}

/// Scores of a panel's row to probabilities, in place, zero where it does not see; returns the sums
/// of probability times dP lane by lane.
template <class P>
Vector probabilities(const Extent& seen, int64_t count, float log_sum, float* scores,
                     const float* dprobabilities) {
  if (seen.empty()) {
    fill_zero(scores, 0, count);
    return Vector{};
  }
  const Columns steps = mask_row(seen, scores);
  fill_zero(scores, 0, steps.begin);
  const SoftmaxExp<P> exp_of_score(log_sum);
  Vector sum[kStepVectors] = {};
  for (int64_t j = steps.begin; j < steps.end; j += kMatrixMultiple) {
    for (int v = 0; v < kStepVectors; ++v) {
      const int64_t at = j + v * kLanes;
      const Vector p = exp_of_score(load(scores + at));
      sum[v] += p * load(dprobabilities + at);
      store_vector(scores + at, p);
    }
  }
  fill_zero(scores, steps.end, count);
  for (int v = 1; v < kStepVectors; ++v) sum[0] += sum[v];
  return sum[0];
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
class PackedRows {
 public:
  using P = Packed<T>;
  static constexpr bool kPairs = kPair<P> > 1;

  PackedRows(Workspace& workspace, int64_t padded_rows, int64_t padded_width)
      : rows_(padded_rows),
        width_(padded_width),
        copy_(workspace.take<P>(rows_ * width_)),
        pairs_(kPairs ? workspace.take<P>(rows_ * width_) : nullptr) {}

  /// The rows where they are if nothing has to be padded or converted, else a copy.
  void pack(const T* from, int64_t stride, int64_t count, int64_t used_width) {
    left_stride_ = width_;
    left_ = copy_;
    if constexpr (std::is_same_v<T, P>) {
      if (count == rows_ && used_width == width_ && stride % kPair<P> == 0) {
        left_stride_ = stride;
        left_ = from;
        return;
      }
    }
    pack_rows(from, stride, count, used_width, copy_, rows_, width_);
  }
  void make_right() {
    if constexpr (kPairs) {
      for (int64_t r = 0; r < rows_; r += 2) {
        interleave(left_ + r * left_stride_, left_ + (r + 1) * left_stride_, width_,
                   pairs_ + r * width_);
      }
    }
  }
  /// Left factor [rows, width].
  const P* left(int64_t row) const { return left_ + row * left_stride_; }
  int64_t left_stride() const { return left_stride_; }
  /// Right factor [rows, width] from an even row on; needs make_right().
  const P* right(int64_t row) const { return kPairs ? pairs_ + row * width_ : left(row); }
  int64_t right_stride() const { return kPairs ? width_ : left_stride_; }
  /// The left factor [width, rows]; needs make_right().
  void transpose_to_left(P* to) const {
    transpose(right(0), right_stride(), rows_ / kPair<P>, width_, to, rows_ / kPair<P>);
  }
  /// The right factor [width, count] of the rows from `row` on; to_stride: columns.
  void transpose_to_right(int64_t row, int64_t count, P* to, int64_t to_stride) const {
    transpose(left(row), left_stride_ / kPair<P>, count, width_ / kPair<P>, to, to_stride);
  }

 private:
  int64_t rows_, width_;
  P* copy_;
  P* pairs_;
  const P* left_ = nullptr;
  int64_t left_stride_ = 0;
};

/// The right factor [width, rows] of a matrix's transpose, cut into panels of kColumns columns.
template <class T, int64_t kColumns>
class ColumnPanels {
 public:
  using P = Packed<T>;

  ColumnPanels(Workspace& workspace, const Sizes& sizes)
      : columns_(sizes.columns),
        width_(sizes.width),
        panels_(workspace.take<P>(round_up(columns_, kColumns) * width_)) {}

  void fill(const PackedRows<T>& rows) {
    for (int64_t column = 0; column < columns_; column += kColumns) {
      rows.transpose_to_right(column, std::min(kColumns, columns_ - column),
                              panels_ + column * width_, kColumns);
    }
  }
  /// Columns from `column` on, within one panel; kColumns apart.
  const P* at(int64_t column) const {
    const int64_t inside = column % kColumns;
    return panels_ + (column - inside) * width_ + inside * kPair<P>;
  }

 private:
  int64_t columns_, width_;
  P* panels_;
};

/// Calls work(part) for the parts of `columns` in each panel of kColumns columns.
template <int64_t kColumns, class Work>
void for_each_panel(const Columns& columns, const Work& work) {
  for (int64_t begin = columns.begin; begin < columns.end;) {
    const int64_t end = std::min(columns.end, begin / kColumns * kColumns + kColumns);
    work(Columns{begin, end});
    begin = end;
  }
}

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
