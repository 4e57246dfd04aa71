// A unit of a product packs its columns of the weights, as many panels as fit in the core's own
// cache (or one, however deep), and sends blocks of rows through them. A unit of a weight gradient
// packs its columns of dy, transposed, and panels of x, some hundred rows at a time, sums in cache,
// and writes its part of the gradient once.
#include "kernels/gemm.h"

#include <omp.h>

#include <algorithm>

#include "kernels/isa_panels.h"
#include "kernels/isa_workspace.h"
#include "kernels/scratch.h"

namespace switchyard::kernels {
namespace {

using P = Packed<Bf16>;

constexpr int64_t kChunkRows = 512;  // of dy and x at a time
#if defined(__AMX_BF16__) || defined(__AMXBF16__)
constexpr int64_t kBlockRows = 32;
constexpr int64_t kFullRows = 16;  // products read and write whole tiles of rows
#else
constexpr int64_t kBlockRows = 48;
constexpr int64_t kFullRows = 1;
#endif

// How sums become elements of c; `at` is their place in c and in call.relu. NaN stays NaN.
struct Store {
  template <class Value>
  Value operator()(Value sum, int64_t /*at*/) const {
    return sum;
  }
};
struct Relu {
  template <class Value>
  Value operator()(Value sum, int64_t /*at*/) const {
    return sum < Value{} ? Value{} : sum;
  }
};
struct ReluGradient {
  const Bf16* relu;
  float operator()(float sum, int64_t at) const { return to_float(relu[at]) > 0 ? sum : 0.0f; }
  Vector operator()(Vector sum, int64_t at) const {
    return load(relu + at) > Vector{} ? sum : Vector{};
  }
};

template <class Finish>
void store_rows(const LayerProduct& call, const float* sums, int64_t row, int64_t rows,
                int64_t column, int64_t columns, const Finish& finish) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = sums + r * kPanel;
    const int64_t place = (row + r) * call.columns + column;
    Bf16* to = call.c + place;
    int64_t i = 0;
    for (; i + 2 * kLanes <= columns; i += 2 * kLanes) {
      store_vectors(to + i, finish(load(from + i), place + i),
                    finish(load(from + i + kLanes), place + i + kLanes));
    }
    for (; i < columns; ++i) store(to + i, finish(from[i], place + i));
  }
}

/// Sums [rows, kPanel] -> c [rows, columns], as the call wants them finished.
void store_block(const LayerProduct& call, const float* sums, int64_t row, int64_t rows,
                 int64_t column, int64_t columns) {
  switch (call.finish) {
    case GemmFinish::kStore:
      return store_rows(call, sums, row, rows, column, columns, Store{});
    case GemmFinish::kRelu:
      return store_rows(call, sums, row, rows, column, columns, Relu{});
    case GemmFinish::kReluGradient:
      return store_rows(call, sums, row, rows, column, columns, ReluGradient{call.relu});
  }
}

class ProductWorker {
 public:
  ProductWorker(const LayerProduct& call, const GemmUnit& largest, void* memory)
      : call_(call),
        depth_(round_up(call.depth, kMatrixMultiple)),
        width_(round_up(largest.column_end - largest.column_begin, kPanel)),
        workspace_(memory),
        panels_(workspace_.take<P>(call.num_terms * width_ * depth_)),
        staging_(workspace_.take<P>(call.transposed ? kPanel * depth_ : 0)),
        left_(workspace_.take<P>(call.num_terms * kBlockRows * left_stride<P>(depth_))),
        sums_(workspace_.take<float>(kBlockRows * kPanel)) {}

  std::size_t bytes() const { return workspace_.used(); }

  void run(const GemmUnit& unit) {
    for (int64_t term = 0; term < call_.num_terms; ++term) pack(unit, term);
    for (int64_t row = unit.row_begin; row < unit.row_end; row += kBlockRows) {
      run_rows(unit, row, std::min(kBlockRows, unit.row_end - row));
    }
  }

 private:
  P* panel(const GemmUnit& unit, int64_t term, int64_t column) const {
    return panels_ + (term * width_ + column - unit.column_begin) * depth_;
  }

  void pack(const GemmUnit& unit, int64_t term) {
    const Bf16* weights = call_.terms[term].weights + unit.group * call_.columns * call_.depth;
    for (int64_t column = unit.column_begin; column < unit.column_end; column += kPanel) {
      P* to = panel(unit, term, column);
      const int64_t columns = std::min(kPanel, unit.column_end - column);
      if (call_.transposed) {
        pack_transposed_panel(weights + column * call_.depth, call_.depth, columns, call_.depth, to,
                              depth_, staging_);
      } else {
        pack_panel(weights + column, call_.columns, call_.depth, columns, to, depth_);
      }
    }
  }

  void run_rows(const GemmUnit& unit, int64_t row, int64_t rows) {
    for (int64_t column = unit.column_begin; column < unit.column_end; column += kPanel) {
      for (int64_t term = 0; term < call_.num_terms; ++term) {
        const Left<P> left = left_factor(term, row, rows, column == unit.column_begin);
        const Initial initial{term > 0 ? sums_ : nullptr, kPanel};
        multiply(Product<P>{rows, kPanel, depth_, left.rows, left.stride, panel(unit, term, column),
                            kPanel, initial, sums_, kPanel});
      }
      store_block(call_, sums_, row, rows, column, std::min(kPanel, unit.column_end - column));
    }
  }

  /// The rows where they are if products can read them there, else a copy, made if `first`.
  Left<P> left_factor(int64_t term, int64_t row, int64_t count, bool first) {
    const ProductTerm& in = call_.terms[term];
    const Bf16* rows = in.a + row * in.a_stride;
    if (call_.depth == depth_ && count % kFullRows == 0) {
      if (const P* own = in_place<P>(rows, in.a_stride)) return {own, in.a_stride};
    }
    const int64_t stride = left_stride<P>(depth_);
    P* copy = left_ + term * kBlockRows * stride;
    for (int64_t r = 0; first && r < count; ++r) {
      pack_rows(rows + r * in.a_stride, in.a_stride, 1, call_.depth, copy + r * stride, 1, depth_);
    }
    return {copy, stride};
  }

  const LayerProduct& call_;
  int64_t depth_;  // padded
  int64_t width_;  // of the widest unit, padded
  Workspace workspace_;
  P* panels_;    // of each term: right factors [depth, kPanel] side by side
  P* staging_;   // [kPanel, depth], forward
  P* left_;      // of each term: [block, depth]
  float* sums_;  // [block, kPanel]
};

class GradientWorker {
 public:
  GradientWorker(const WeightGradient& call, const GemmUnit& largest, void* memory)
      : call_(call),
        rows_(round_up(largest.row_end - largest.row_begin, kMatrixMultiple)),
        workspace_(memory),
        left_(workspace_.take<P>(rows_ * left_stride<P>(kChunkRows))),
        staging_(workspace_.take<P>(2 * kMatrixMultiple * rows_)),
        panel_(workspace_.take<P>(kChunkRows * kPanel)),
        sums_(workspace_.take<float>(
            rows_ * round_up(largest.column_end - largest.column_begin, kPanel))) {}

  std::size_t bytes() const { return workspace_.used(); }

  void run(const GemmUnit& unit, double* squares) {
    const int64_t* group = call_.groups.offsets + unit.group;
    for (int64_t row = group[0]; row < group[1]; row += kChunkRows) {
      add_chunk(unit, row, std::min(kChunkRows, group[1] - row), row > group[0]);
    }
    for (int64_t n = unit.row_begin; n < unit.row_end; ++n) {
      squares[unit.first_square + (n - unit.row_begin) / kSquareRows] +=
          finish_row(unit, n, group[1] > group[0]);
    }
  }

 private:
  /// Adds the products of some rows of dy and x to the sums, or starts them.
  void add_chunk(const GemmUnit& unit, int64_t row, int64_t rows, bool add) {
    const int64_t depth = round_up(rows, kMatrixMultiple), stride = left_stride<P>(depth);
    const int64_t outputs = unit.row_end - unit.row_begin;
    pack_transposed_rows(call_.dy + row * call_.dy_stride + unit.row_begin, call_.dy_stride, rows,
                         outputs, left_, stride, depth, round_up(outputs, kMatrixMultiple),
                         staging_);
    for (int64_t k = unit.column_begin; k < unit.column_end; k += kPanel) {
      pack_panel(call_.x + row * call_.x_stride + k, call_.x_stride, rows,
                 std::min(kPanel, unit.column_end - k), panel_, depth);
      float* sums = panel_sums(unit, k);
      const Initial initial{add ? sums : nullptr, kPanel};
      multiply(
          Product<P>{outputs, kPanel, depth, left_, stride, panel_, kPanel, initial, sums, kPanel});
    }
  }

  float* panel_sums(const GemmUnit& unit, int64_t k) const {
    return sums_ + (k - unit.column_begin) * rows_;
  }

  /// Row n of the gradient from its sums, or from zeros; -> the sum of its squares.
  double finish_row(const GemmUnit& unit, int64_t n, bool has_sums) {
    float* gradient = call_.gradient + (unit.group * call_.outputs + n) * call_.inputs;
    Vector squares{};
    double rest = 0;
    for (int64_t k = unit.column_begin; k < unit.column_end; k += kPanel) {
      const int64_t columns = std::min(kPanel, unit.column_end - k);
      const float* sums = panel_sums(unit, k) + (n - unit.row_begin) * kPanel;
      float* own = gradient + k;
      int64_t i = 0;
      for (; i + kLanes <= columns; i += kLanes) {
        Vector value = has_sums ? load(sums + i) : Vector{};
        if (call_.accumulate) value += load(own + i);
        store_vector(own + i, value);
        squares += value * value;
      }
      for (; i < columns; ++i) {
        own[i] = (has_sums ? sums[i] : 0.0f) + (call_.accumulate ? own[i] : 0.0f);
        rest += double{own[i]} * own[i];
      }
    }
    return sum_of(squares) + rest;
  }

  const WeightGradient& call_;
  int64_t rows_;  // of the largest unit, padded
  Workspace workspace_;
  P* left_;      // [rows, chunk]
  P* staging_;   // [2, 32, rows]
  P* panel_;     // right factor [chunk, kPanel]
  float* sums_;  // [panels, rows, kPanel]
};

/// Calls work(worker, i) for every unit, each thread with a worker of its own.
template <class Worker, class Call, class Work>
void for_each_unit(const Call& call, const GemmUnit* units, int64_t count, const Work& work) {
  if (count == 0) return;
  GemmUnit largest{};  // in each direction
  for (int64_t i = 0; i < count; ++i) {
    const GemmUnit& unit = units[i];
    largest.row_end = std::max(largest.row_end, unit.row_end - unit.row_begin);
    largest.column_end = std::max(largest.column_end, unit.column_end - unit.column_begin);
  }
  const auto bytes = static_cast<std::size_t>(
      round_up(static_cast<int64_t>(Worker(call, largest, nullptr).bytes()), 4096));
  auto* memory = static_cast<std::byte*>(
      scratch_bytes(0, bytes * static_cast<std::size_t>(omp_get_max_threads())));
#pragma omp parallel
  {
    const MatrixScope scope;
    Worker worker(call, largest, memory + bytes * static_cast<std::size_t>(omp_get_thread_num()));
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < count; ++i) work(worker, i);
  }
}

void layer_product(const LayerProduct& call, const GemmUnit* units, int64_t count) {
  for_each_unit<ProductWorker>(call, units, count,
                               [&](ProductWorker& worker, int64_t i) { worker.run(units[i]); });
}

void weight_gradient(const WeightGradient& call, const GemmUnit* units, int64_t count,
                     double* squares) {
  for_each_unit<GradientWorker>(call, units, count, [&](GradientWorker& worker, int64_t i) {
    worker.run(units[i], squares);
  });
}

}  // namespace

template <>
const GemmTable& table_of<GemmTable, kCompiledIsa>() {
  static constexpr GemmTable kTable = {layer_product, weight_gradient};
  return kTable;
}

}  // namespace switchyard::kernels
