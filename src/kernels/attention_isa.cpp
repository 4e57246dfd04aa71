// One (sequence, head) at a time: its queries, keys and values are packed once, then blocks of
// query rows go through panels of the keys that they see: scores by a product that starts from the
// bias, softmax row by row that corrects itself when its largest score rises, products with the
// values. The gradient forms the probabilities again from the saved log sums.
#include <omp.h>

#include <algorithm>

#include "kernels/attention.h"
#include "kernels/isa_attention.h"
#include "kernels/scratch.h"

namespace switchyard::kernels {
namespace {

template <class T>
class ForwardWorker {
 public:
  using P = Packed<T>;

  ForwardWorker(const AttentionForward<T>& call, void* memory)
      : call_(call),
        in_(call.in),
        sizes_(in_),
        workspace_(memory),
        query_(workspace_, sizes_.rows, sizes_.width),
        key_(workspace_, sizes_.columns, sizes_.width),
        value_(workspace_, sizes_.columns, sizes_.width),
        key_columns_(workspace_, sizes_),
        bias_(workspace_, sizes_, in_.queries),
        scores_(workspace_.take<float>(kRows * kStride)),
        probabilities_(workspace_.take<P>(kRows * kStride)),
        output_(workspace_.take<float>(kRows * sizes_.width)),
        penalty_(workspace_.take<float>(in_.keys)) {}

  std::size_t bytes() const { return workspace_.used(); }

  void run(const Item& item) {
    query_.pack(start_of(in_.query, in_.query_stride, in_.queries, item, in_.width),
                in_.query_stride, in_.queries, in_.width);
    key_.pack(start_of(in_.key, in_.key_stride, in_.keys, item, in_.width), in_.key_stride,
              in_.keys, in_.width);
    value_.pack(start_of(in_.value, in_.value_stride, in_.keys, item, in_.width), in_.value_stride,
                in_.keys, in_.width);
    key_columns_.fill(key_);
    value_.make_right();
    bias_.fill(in_, sizes_, item.h);
    Visibility visibility(in_, item.b, penalty_);
    for (int64_t row = 0; row < in_.queries; row += kRows) {
      run_block(item, row, std::min(kRows, in_.queries - row), visibility);
    }
  }

 private:
  // Scores of a block and a panel, 18 KiB, stay in the first cache from product to product.
  static constexpr int64_t kRows = 32, kColumns = 128, kStride = kColumns + kRowGap;

  void run_block(const Item& item, int64_t first, int64_t rows, Visibility& visibility) {
    const Columns columns = columns_of_block(visibility, first, rows);
    RunningSoftmax<kRows> softmax;
    if (columns.count() == 0) fill_zero(output_, 0, rows * sizes_.width);
    for_each_panel<kColumns>(columns, [&](const Columns& part) {
      const bool is_first = part.begin == columns.begin;
      multiply(Product<P>{rows, part.count(), sizes_.width, query_.left(first),
                          query_.left_stride(), key_columns_.at(part.begin), kColumns,
                          bias_.at(first, part.begin), scores_, kStride});
      add_scores(first, rows, part, visibility, is_first, softmax);
      multiply(Product<P>{rows, sizes_.width, part.count(), probabilities_, kStride,
                          value_.right(part.begin), value_.right_stride(),
                          Initial{is_first ? nullptr : output_, sizes_.width}, output_,
                          sizes_.width});
    });
    finish_block(item, first, rows, softmax);
  }

  /// Takes a panel's scores into the softmax. Where the largest score of a row rises, its sum and
  /// its output so far shrink.
  void add_scores(int64_t first, int64_t rows, const Columns& part, Visibility& visibility,
                  bool is_first, RunningSoftmax<kRows>& softmax) {
    const int64_t count = part.count();
    Extent seen[kRows];
    Vector largest[kRows];
    for (int64_t r = 0; r < rows; ++r) {
      seen[r] = visibility.of_row(first + r).within(part.begin, count);
      largest[r] = largest_scores(seen[r], scores_ + r * kStride);
    }
    for (int64_t r = rows; r < kRows; ++r) largest[r] = splat(-kInfinity);
    alignas(64) float factor[kRows];
    for (int64_t r = 0; r < kRows; r += kLanes) {
      const Vector before = load(softmax.top + r);
      const Vector top = larger(over_lanes_of_rows(largest + r, larger), before);
      store_vector(softmax.top + r, top);
      store_vector(factor + r, top == before ? splat(1.0f) : vector_exp_below_one(before - top));
    }
    for (int64_t r = 0; r < rows; ++r) {
      if (!is_first && factor[r] != 1.0f) {
        softmax.sum[r] *= factor[r];
        float* output = output_ + r * sizes_.width;
        for (int64_t i = 0; i < sizes_.width; i += kLanes) {
          store_vector(output + i, load(output + i) * factor[r]);
        }
      }
      softmax.sum[r] += exponentials(seen[r], count, softmax.top[r], scores_ + r * kStride,
                                     probabilities_ + r * kStride);
    }
  }

  void finish_block(const Item& item, int64_t first, int64_t rows, RunningSoftmax<kRows>& softmax) {
    alignas(64) float sum[kRows], scale[kRows];
    for (int64_t r = 0; r < kRows; r += kLanes) {
      store_vector(sum + r, over_lanes_of_rows(softmax.sum + r, plus));
    }
    float* log_sum = call_.log_sum + (item.b * in_.heads + item.h) * in_.queries + first;
#pragma omp simd
    for (int64_t r = 0; r < rows; ++r) {
      const float log_of_sum = softmax.top[r] + vector_log(sum[r]);
      log_sum[r] = sum[r] == 0 ? kInfinity : log_of_sum;
      scale[r] = sum[r] == 0 ? 0.0f : 1.0f / sum[r];
    }
    const int64_t stride = in_.heads * in_.width;
    T* out = call_.output + (item.b * in_.queries + first) * stride + item.h * in_.width;
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = output_ + r * sizes_.width;
      T* to = out + r * stride;
#pragma omp simd
      for (int64_t i = 0; i < in_.width; ++i) store(to + i, from[i] * scale[r]);
    }
  }

  const AttentionForward<T>& call_;
  const AttentionInputs<T>& in_;
  Sizes sizes_;
  Workspace workspace_;
  PackedRows<T> query_, key_, value_;
  ColumnPanels<T, kColumns> key_columns_;
  PaddedBias bias_;
  float* scores_;     // [block, panel]
  P* probabilities_;  // [block, panel], before the division by their sum
  float* output_;     // [block, K]
  float* penalty_;    // [T]
};

/// With P the probabilities and dP = dO V^T:  dS = P * (dP - sum_j P dP),  dQ = dS K,  dK = dS^T Q,
/// dV = P^T dO,  and the bias gets the sums of dS along its diagonals. A block of rows goes through
/// the panels twice: P, dP and their sum first, then dS. dK and dV are summed over blocks
/// transposed, [K, T], which spares a transpose of P and dS.
template <class T>
class BackwardWorker {
 public:
  using P = Packed<T>;
  static constexpr bool kPairs = kPair<P> > 1;

  BackwardWorker(const AttentionBackward<T>& call, void* memory)
      : call_(call),
        in_(call.in),
        sizes_(in_),
        workspace_(memory),
        query_(workspace_, sizes_.rows, sizes_.width),
        key_(workspace_, sizes_.columns, sizes_.width),
        value_(workspace_, sizes_.columns, sizes_.width),
        doutput_(workspace_, sizes_.rows, sizes_.width),
        key_columns_(workspace_, sizes_),
        value_columns_(workspace_, sizes_),
        bias_(workspace_, sizes_, in_.queries),
        query_transposed_(workspace_.take<P>(sizes_.width * sizes_.rows)),
        doutput_transposed_(workspace_.take<P>(sizes_.width * sizes_.rows)),
        probabilities_(workspace_.take<float>(kRows * sizes_.stride)),
        dprobabilities_(workspace_.take<float>(kRows * sizes_.stride)),
        dscores_(take_dscores()),
        left_(kPairs ? workspace_.take<P>(kRows * kStride) : nullptr),
        right_(kPairs ? workspace_.take<P>(kRows * kStride) : nullptr),
        dquery_(workspace_.take<float>(kRows * sizes_.width)),
        dkey_(workspace_.take<float>(sizes_.width * sizes_.stride)),
        dvalue_(workspace_.take<float>(sizes_.width * sizes_.stride)),
        rows_(workspace_.take<float>(sizes_.columns * sizes_.width)),
        penalty_(workspace_.take<float>(in_.keys)) {}

  std::size_t bytes() const { return workspace_.used(); }

  /// dbias: [S + T - 1 + kLanes] of this item or null; overwritten.
  void run(const Item& item, float* dbias) {
    query_.pack(start_of(in_.query, in_.query_stride, in_.queries, item, in_.width),
                in_.query_stride, in_.queries, in_.width);
    key_.pack(start_of(in_.key, in_.key_stride, in_.keys, item, in_.width), in_.key_stride,
              in_.keys, in_.width);
    value_.pack(start_of(in_.value, in_.value_stride, in_.keys, item, in_.width), in_.value_stride,
                in_.keys, in_.width);
    const int64_t stride = in_.heads * in_.width;
    doutput_.pack(start_of(call_.doutput, stride, in_.queries, item, in_.width), stride,
                  in_.queries, in_.width);
    key_.make_right();
    key_columns_.fill(key_);
    value_columns_.fill(value_);
    query_.make_right();
    query_.transpose_to_left(query_transposed_);
    doutput_.make_right();
    doutput_.transpose_to_left(doutput_transposed_);
    bias_.fill(in_, sizes_, item.h);
    fill_zero(dkey_, 0, sizes_.width * sizes_.stride);
    fill_zero(dvalue_, 0, sizes_.width * sizes_.stride);
    if (dbias) fill_zero(dbias, 0, in_.queries + in_.keys - 1 + kLanes);
    Visibility visibility(in_, item.b, penalty_);
    for (int64_t row = 0; row < in_.queries; row += kRows) {
      run_block(item, row, std::min(kRows, in_.queries - row), visibility, dbias);
    }
    store_transposed(dkey_, item, call_.dkey);
    store_transposed(dvalue_, item, call_.dvalue);
  }

 private:
  static constexpr int64_t kRows = 64, kColumns = 64, kStride = kColumns + kRowGap;

  /// With room for zeros before the first row.
  float* take_dscores() {
    float* start = workspace_.take<float>((kRows + 1) * kStride);
    return start ? start + kRowGap : nullptr;
  }

  void run_block(const Item& item, int64_t first, int64_t rows, Visibility& visibility,
                 float* dbias) {
    const Columns columns = columns_of_block(visibility, first, rows);
    const int64_t padded_rows = round_up(rows, kMatrixMultiple);
    Vector delta_lanes[kRows] = {};
    if (columns.count() == 0) fill_zero(dquery_, 0, rows * sizes_.width);
    for_each_panel<kColumns>(columns, [&](const Columns& part) {
      find_probabilities(item, first, rows, part, visibility, delta_lanes);
      const P* right = probabilities_right(part, padded_rows);
      add_to_columns(doutput_transposed_ + first, padded_rows, part, right,
                     kPairs ? kStride : sizes_.stride, dvalue_);
    });
    alignas(64) float delta[kRows];
    for (int64_t r = 0; r < kRows; r += kLanes) {
      store_vector(delta + r, over_lanes_of_rows(delta_lanes + r, plus));
    }
    for_each_panel<kColumns>(columns, [&](const Columns& part) {
      for (int64_t r = 0; r < padded_rows; r += 2) dscore_rows(r, delta + r, part);
      if (dbias) add_diagonals(first, rows, part, dbias);
      const P *left, *right;
      if constexpr (kPairs) {
        left = left_;
        right = right_;
      } else {
        left = right = dscores_;
      }
      const Initial initial{part.begin == columns.begin ? nullptr : dquery_, sizes_.width};
      multiply(Product<P>{rows, sizes_.width, part.count(), left, kStride, key_.right(part.begin),
                          key_.right_stride(), initial, dquery_, sizes_.width});
      add_to_columns(query_transposed_ + first, padded_rows, part, right, kStride, dkey_);
    });
    store_dquery(item, first, rows);
  }

  /// P and dP of a panel, and what it adds to the rows' sums of P dP, lane by lane. Rows that pad
  /// the block are zero.
  void find_probabilities(const Item& item, int64_t first, int64_t rows, const Columns& part,
                          Visibility& visibility, Vector* delta) {
    const int64_t count = part.count(), stride = sizes_.stride;
    float *p = probabilities_ + part.begin, *dp = dprobabilities_ + part.begin;
    multiply(Product<P>{rows, count, sizes_.width, query_.left(first), query_.left_stride(),
                        key_columns_.at(part.begin), kColumns, bias_.at(first, part.begin), p,
                        stride});
    multiply(Product<P>{rows, count, sizes_.width, doutput_.left(first), doutput_.left_stride(),
                        value_columns_.at(part.begin), kColumns, Initial{}, dp, stride});
    const float* log_sum = call_.log_sum + (item.b * in_.heads + item.h) * in_.queries + first;
    for (int64_t r = 0; r < rows; ++r) {
      delta[r] += probabilities<P>(visibility.of_row(first + r).within(part.begin, count), count,
                                   log_sum[r], p + r * stride, dp + r * stride);
    }
    for (int64_t r = rows; r < round_up(rows, kMatrixMultiple); ++r) {
      fill_zero(p + r * stride, 0, count);
      fill_zero(dp + r * stride, 0, count);
    }
  }

  /// The right factor of P's panel.
  const P* probabilities_right(const Columns& part, int64_t padded_rows) {
    const float* p = probabilities_ + part.begin;
    if constexpr (kPairs) {
      for (int64_t r = 0; r < padded_rows; r += 2) {
        const float *p0 = p + r * sizes_.stride, *p1 = p0 + sizes_.stride;
        for (int64_t j = 0; j < part.count(); j += kLanes) {
          store_two(nullptr, nullptr, right_ + r * kStride + 2 * j, load(p0 + j), load(p1 + j));
        }
      }
      return right_;
    } else {
      return p;
    }
  }

  /// sum [K, T] += left [K, rows] right [rows, part].
  void add_to_columns(const P* left, int64_t rows, const Columns& part, const P* right,
                      int64_t right_stride, float* sum) {
    float* from = sum + part.begin;
    multiply(Product<P>{sizes_.width, part.count(), rows, left, sizes_.rows, right, right_stride,
                        Initial{from, sizes_.stride}, from, sizes_.stride});
  }

  /// dS of rows r and r + 1 of a panel, and in the forms for the products.
  void dscore_rows(int64_t r, const float* delta, const Columns& part) {
    const int64_t from = r * sizes_.stride + part.begin, count = part.count();
    const float *p0 = probabilities_ + from, *p1 = p0 + sizes_.stride;
    const float *dp0 = dprobabilities_ + from, *dp1 = dp0 + sizes_.stride;
    float *d0 = dscores_ + r * kStride, *d1 = d0 + kStride;
    for (int64_t j = 0; j < count; j += kLanes) {
      const Vector first = load(p0 + j) * (load(dp0 + j) - delta[0]);
      const Vector second = load(p1 + j) * (load(dp1 + j) - delta[1]);
      store_vector(d0 + j, first);
      store_vector(d1 + j, second);
      if constexpr (kPairs) {
        P* left = left_ + r * kStride + j;
        store_two(left, left + kStride, right_ + r * kStride + 2 * j, first, second);
      }
    }
    for (float* row : {d0, d1}) {
      store_vector(row - kLanes, Vector{});
      store_vector(row + count, Vector{});
    }
  }

  /// dbias[j - i + S - 1] += dS(i, j): for each vector of offsets, one unaligned load per row.
  void add_diagonals(int64_t first, int64_t rows, const Columns& part, float* dbias) {
    const int64_t count = std::min(part.end, in_.keys) - part.begin;
    constexpr int64_t kStep = kStride + 1;  // one row down, one column to the right
    // Row r of the block has column c of the panel at offset c - r + base.
    const int64_t base = part.begin + in_.queries - 1 - first;
    for (int64_t column = 1 - rows; column < count; column += kLanes) {  // of row 0
      const int64_t row_begin = std::max<int64_t>(0, -column - (kLanes - 1));
      const int64_t row_end = std::min(rows, part.count() - column);
      const float* at = dscores_ + column;
      Vector sum[4] = {};
      int64_t r = row_begin;
      for (; r + 4 <= row_end; r += 4) {
        for (int64_t i = 0; i < 4; ++i) sum[i] += load(at + (r + i) * kStep);
      }
      for (; r < row_end; ++r) sum[0] += load(at + r * kStep);
      float* to = dbias + column + base;
      store_vector(to, load(to) + ((sum[0] + sum[1]) + (sum[2] + sum[3])));
    }
  }

  void store_dquery(const Item& item, int64_t first, int64_t rows) {
    const int64_t stride = in_.heads * in_.width;
    T* out = call_.dquery + (item.b * in_.queries + first) * stride + item.h * in_.width;
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = dquery_ + r * sizes_.width;
      T* to = out + r * stride;
#pragma omp simd
      for (int64_t i = 0; i < in_.width; ++i) store(to + i, from[i]);
    }
  }

  /// [K, T] to the place of this item in [B, T, H, K].
  void store_transposed(const float* from, const Item& item, T* out) {
    transpose(from, sizes_.stride, sizes_.width, sizes_.columns, rows_, sizes_.width);
    const int64_t stride = in_.heads * in_.width;
    out += item.b * in_.keys * stride + item.h * in_.width;
    for (int64_t j = 0; j < in_.keys; ++j) {
      const float* row = rows_ + j * sizes_.width;
      T* to = out + j * stride;
#pragma omp simd
      for (int64_t i = 0; i < in_.width; ++i) store(to + i, row[i]);
    }
  }

  const AttentionBackward<T>& call_;
  const AttentionInputs<T>& in_;
  Sizes sizes_;
  Workspace workspace_;
  PackedRows<T> query_, key_, value_, doutput_;
  ColumnPanels<T, kColumns> key_columns_, value_columns_;
  PaddedBias bias_;
  P *query_transposed_, *doutput_transposed_;  // left factors [K, S]
  float *probabilities_, *dprobabilities_;     // [block, T]; the former holds scores before
  float* dscores_;                             // [block, panel]
  P *left_, *right_;                           // [block, panel] of P, then of dS, as factors
  float* dquery_;                              // [block, K]
  float *dkey_, *dvalue_;                      // [K, T]
  float* rows_;                                // [T, K]
  float* penalty_;                             // [T]
};

/// Calls work(worker, item, index) for every (sequence, head), each thread with a worker of its
/// own.
template <class Worker, class Call, class Work>
void for_each_head(const Call& call, const Work& work) {
  const int64_t heads = call.in.heads;
  const int64_t items = call.in.batch * heads;
  // A page apart, so that threads neither share lines nor touch each other's memory first.
  const auto bytes =
      static_cast<std::size_t>(round_up(static_cast<int64_t>(Worker(call, nullptr).bytes()), 4096));
  auto* memory = static_cast<std::byte*>(
      scratch_bytes(0, bytes * static_cast<std::size_t>(omp_get_max_threads())));
#pragma omp parallel
  {
    const MatrixScope scope;
    Worker worker(call, memory + bytes * static_cast<std::size_t>(omp_get_thread_num()));
#pragma omp for schedule(static)
    for (int64_t i = 0; i < items; ++i) work(worker, Item{i / heads, i % heads}, i);
  }
}

template <class T>
void forward(const AttentionForward<T>& call) {
  for_each_head<ForwardWorker<T>>(
      call, [](ForwardWorker<T>& worker, const Item& item, int64_t) { worker.run(item); });
}

template <class T>
void backward(const AttentionBackward<T>& call) {
  const AttentionInputs<T>& in = call.in;
  const int64_t offsets = in.queries + in.keys - 1;
  const int64_t stride = round_up(offsets + kLanes, 16);
  // Each sequence and head has its own sums, added up in order below.
  float* sums = nullptr;
  if (call.doffset_bias) {
    const int64_t count = in.batch * in.heads * stride;
    sums = static_cast<float*>(scratch_bytes(1, static_cast<std::size_t>(count) * sizeof(float)));
  }
  for_each_head<BackwardWorker<T>>(call,
                                   [&](BackwardWorker<T>& worker, const Item& item, int64_t index) {
                                     worker.run(item, sums ? sums + index * stride : nullptr);
                                   });
  if (!sums) return;
  for (int64_t h = 0; h < in.heads; ++h) {
    float* out = call.doffset_bias + h * offsets;
    for (int64_t i = 0; i < offsets; ++i) out[i] = 0;
    for (int64_t b = 0; b < in.batch; ++b) {
      const float* from = sums + (b * in.heads + h) * stride;
#pragma omp simd
      for (int64_t i = 0; i < offsets; ++i) out[i] += from[i];
    }
  }
}

}  // namespace

template <>
const AttentionTable& table_of<AttentionTable, kCompiledIsa>() {
  static constexpr AttentionTable kTable = {forward<float>, forward<Bf16>, backward<float>,
                                            backward<Bf16>};
  return kTable;
}

}  // namespace switchyard::kernels
