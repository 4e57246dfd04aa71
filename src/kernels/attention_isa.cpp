// One (sequence, head) at a time: its queries, keys and values are packed once, then blocks of
// query rows go through all keys that they see: scores by a product that starts from the bias,
// softmax row by row, products with the values. The gradient forms the probabilities again from the
// saved log sums.
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
        bias_(workspace_, sizes_, in_.queries),
        key_columns_(workspace_.take<P>(sizes_.width * sizes_.stride)),
        scores_(workspace_.take<float>(kBlockRows * sizes_.stride)),
        probabilities_(workspace_.take<P>(kBlockRows * sizes_.stride)),
        output_(workspace_.take<float>(kBlockRows * sizes_.width)),
        penalty_(workspace_.take<float>(in_.keys)) {}

  std::size_t bytes() const { return workspace_.used(); }

  void run(const Item& item) {
    query_.pack(start_of(in_.query, in_.query_stride, in_.queries, item, in_.width),
                in_.query_stride, in_.queries, in_.width);
    key_.pack(start_of(in_.key, in_.key_stride, in_.keys, item, in_.width), in_.key_stride,
              in_.keys, in_.width);
    value_.pack(start_of(in_.value, in_.value_stride, in_.keys, item, in_.width), in_.value_stride,
                in_.keys, in_.width);
    key_.transpose_to_right(key_columns_, sizes_.stride);
    value_.make_right();
    bias_.fill(in_, sizes_, item.h);
    Visibility visibility(in_, item.b, penalty_);
    for (int64_t row = 0; row < in_.queries; row += kBlockRows) {
      run_block(item, row, std::min(kBlockRows, in_.queries - row), visibility);
    }
  }

 private:
  void run_block(const Item& item, int64_t first, int64_t rows, Visibility& visibility) {
    const Columns columns = columns_of_block(visibility, first, rows);
    multiply(Product<P>{rows, columns.count(), sizes_.width, query_.left + first * sizes_.width,
                        sizes_.width, key_columns_ + columns.begin * kPair<P>, sizes_.stride,
                        bias_.at(first, columns.begin), scores_ + columns.begin, sizes_.stride});
    float* log_sum = call_.log_sum + (item.b * in_.heads + item.h) * in_.queries + first;
    float scale[kBlockRows];
    for (int64_t r = 0; r < rows; ++r) {
      const SoftmaxSums sums =
          softmax_row(visibility.of_row(first + r), columns, scores_ + r * sizes_.stride,
                      probabilities_ + r * sizes_.stride);
      log_sum[r] = sums.log_sum;
      scale[r] = sums.log_sum == kInfinity ? 0.0f : 1.0f / sums.sum;
    }
    multiply(Product<P>{rows, sizes_.width, columns.count(), probabilities_ + columns.begin,
                        sizes_.stride, value_.right + columns.begin * sizes_.width, sizes_.width,
                        Initial{}, output_, sizes_.width});
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
  PaddedBias bias_;
  P* key_columns_;    // right factor [K, T]
  float* scores_;     // [block, T]
  P* probabilities_;  // [block, T], before the division by their sum
  float* output_;     // [block, K]
  float* penalty_;    // [T]
};

/// With P the probabilities and dP = dO V^T:  dS = P * (dP - sum_j P dP),  dQ = dS K,  dK = dS^T Q,
/// dV = P^T dO,  and the bias gets the sums of dS along its diagonals. dK and dV are summed over
/// blocks transposed, [K, T], which spares a transpose of P and dS.
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
        bias_(workspace_, sizes_, in_.queries),
        key_columns_(workspace_.take<P>(sizes_.width * sizes_.stride)),
        value_columns_(workspace_.take<P>(sizes_.width * sizes_.stride)),
        query_transposed_(workspace_.take<P>(sizes_.width * sizes_.rows)),
        doutput_transposed_(workspace_.take<P>(sizes_.width * sizes_.rows)),
        probabilities_(take_block<float>()),
        dscores_(take_block<float>()),
        dscores_left_(kPairs ? take_block<P>() : nullptr),
        probabilities_right_(kPairs ? take_block<P>() : nullptr),
        dscores_right_(kPairs ? take_block<P>() : nullptr),
        dquery_(workspace_.take<float>(kBlockRows * sizes_.width)),
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
    key_.transpose_to_right(key_columns_, sizes_.stride);
    value_.transpose_to_right(value_columns_, sizes_.stride);
    query_.make_right();
    query_.transpose_to_left(query_transposed_);
    doutput_.make_right();
    doutput_.transpose_to_left(doutput_transposed_);
    bias_.fill(in_, sizes_, item.h);
    fill_zero(dkey_, 0, sizes_.width * sizes_.stride);
    fill_zero(dvalue_, 0, sizes_.width * sizes_.stride);
    if (dbias) fill_zero(dbias, 0, in_.queries + in_.keys - 1 + kLanes);
    Visibility visibility(in_, item.b, penalty_);
    for (int64_t row = 0; row < in_.queries; row += kBlockRows) {
      run_block(item, row, std::min(kBlockRows, in_.queries - row), visibility, dbias);
    }
    store_transposed(dkey_, item, call_.dkey);
    store_transposed(dvalue_, item, call_.dvalue);
  }

 private:
  template <class Element>
  Element* take_block() {
    Element* start = workspace_.take<Element>((kBlockRows + 1) * sizes_.stride);
    return start ? start + kRowGap : nullptr;
  }

  void run_block(const Item& item, int64_t first, int64_t rows, Visibility& visibility,
                 float* dbias) {
    const Columns columns = columns_of_block(visibility, first, rows);
    const int64_t padded_rows = round_up(rows, kMatrixMultiple);
    multiply(Product<P>{rows, columns.count(), sizes_.width, query_.left + first * sizes_.width,
                        sizes_.width, key_columns_ + columns.begin * kPair<P>, sizes_.stride,
                        bias_.at(first, columns.begin), probabilities_ + columns.begin,
                        sizes_.stride});
    multiply(Product<P>{rows, columns.count(), sizes_.width, doutput_.left + first * sizes_.width,
                        sizes_.width, value_columns_ + columns.begin * kPair<P>, sizes_.stride,
                        Initial{}, dscores_ + columns.begin, sizes_.stride});
    const float* log_sum = call_.log_sum + (item.b * in_.heads + item.h) * in_.queries + first;
    float delta[kBlockRows];
    for (int64_t r = 0; r < rows; ++r) {
      delta[r] = probability_row(visibility.of_row(first + r), columns, log_sum[r],
                                 probabilities_ + r * sizes_.stride, dscores_ + r * sizes_.stride);
    }
    for (int64_t r = rows; r < padded_rows; ++r) {
      fill_zero(probabilities_ + r * sizes_.stride, columns.begin, columns.end);
      fill_zero(dscores_ + r * sizes_.stride, columns.begin, columns.end);
      delta[r] = 0;
    }
    for (int64_t r = 0; r < padded_rows; r += 2) dscore_rows(r, delta + r, columns);
    if (dbias) add_diagonals(first, rows, columns, dbias);

    const P *dscores_left, *dscores_right, *probabilities_right;
    if constexpr (kPairs) {
      dscores_left = dscores_left_;
      dscores_right = dscores_right_;
      probabilities_right = probabilities_right_;
    } else {
      dscores_left = dscores_right = dscores_;
      probabilities_right = probabilities_;
    }
    multiply(Product<P>{rows, sizes_.width, columns.count(), dscores_left + columns.begin,
                        sizes_.stride, key_.right + columns.begin * sizes_.width, sizes_.width,
                        Initial{}, dquery_, sizes_.width});
    store_dquery(item, first, rows);
    const auto add_product = [&](const P* left, const P* right, float* sum) {
      float* from = sum + columns.begin;
      multiply(Product<P>{sizes_.width, columns.count(), padded_rows, left + first, sizes_.rows,
                          right + columns.begin * kPair<P>, sizes_.stride,
                          Initial{from, sizes_.stride}, from, sizes_.stride});
    };
    add_product(query_transposed_, dscores_right, dkey_);
    add_product(doutput_transposed_, probabilities_right, dvalue_);
  }

  /// dS of rows r and r + 1, in place of their dP and in the forms for the products.
  void dscore_rows(int64_t r, const float* delta, const Columns& columns) {
    const int64_t stride = sizes_.stride;
    const float *p0 = probabilities_ + r * stride, *p1 = p0 + stride;
    float *d0 = dscores_ + r * stride, *d1 = d0 + stride;
    for (int64_t j = columns.begin; j < columns.end; j += kLanes) {
      const Vector first_p = load(p0 + j), second_p = load(p1 + j);
      const Vector first = first_p * (load(d0 + j) - delta[0]);
      const Vector second = second_p * (load(d1 + j) - delta[1]);
      store_vector(d0 + j, first);
      store_vector(d1 + j, second);
      if constexpr (kPairs) {
        P* left = dscores_left_ + r * stride + j;
        store_two(left, left + stride, dscores_right_ + r * stride + 2 * j, first, second);
        store_two(nullptr, nullptr, probabilities_right_ + r * stride + 2 * j, first_p, second_p);
      }
    }
    for (float* row : {d0, d1}) {
      store_vector(row + columns.begin - kLanes, Vector{});
      store_vector(row + columns.end, Vector{});
    }
  }

  /// dbias[j - i + S - 1] += dS(i, j): for each vector of offsets, one unaligned load per row.
  void add_diagonals(int64_t first, int64_t rows, const Columns& columns, float* dbias) {
    const int64_t keys_end = std::min(columns.end, in_.keys);
    const int64_t step = sizes_.stride + 1;  // one row down, one column to the right
    // Row r of the block has key j at offset j - r + base.
    const int64_t base = in_.queries - 1 - first;
    for (int64_t offset = columns.begin - (rows - 1) + base; offset < keys_end + base;
         offset += kLanes) {
      const int64_t column = offset - base;  // of row 0
      const int64_t row_begin = std::max<int64_t>(0, columns.begin - column - (kLanes - 1));
      const int64_t row_end = std::min(rows, columns.end - column);
      const float* at = dscores_ + column;
      Vector sum[4] = {};
      int64_t r = row_begin;
      for (; r + 4 <= row_end; r += 4) {
        for (int64_t i = 0; i < 4; ++i) sum[i] += load(at + (r + i) * step);
      }
      for (; r < row_end; ++r) sum[0] += load(at + r * step);
      store_vector(dbias + offset, load(dbias + offset) + ((sum[0] + sum[1]) + (sum[2] + sum[3])));
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
  PaddedBias bias_;
  P *key_columns_, *value_columns_;            // right factors [K, T]
  P *query_transposed_, *doutput_transposed_;  // left factors [K, S]
  float *probabilities_, *dscores_;            // [block, T]; before them the scores and dP
  P *dscores_left_, *probabilities_right_, *dscores_right_;  // [block, T] as factors
  float* dquery_;                                            // [block, K]
  float *dkey_, *dvalue_;                                    // [K, T]
  float* rows_;                                              // [T, K]
  float* penalty_;                                           // [T]
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
