// A unit of a product packs its columns of the weights, as many panels of 64 as fit in the core's
// own cache, and sends blocks of rows through them. A unit of a weight gradient packs its columns
// of dy, transposed, and panels of x, some hundred rows at a time, and adds to its rows of the
// gradient.
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

// How sums become elements of c; `relu` points to the elements of call.relu at the same place. NaN
// stays NaN.
struct Store {
  template <class Value>
  Value operator()(Value sum, const Bf16* /*relu*/) const {
    return sum;
  }
};
struct Relu {
  template <class Value>
  Value operator()(Value sum, const Bf16* /*relu*/) const {
    return sum < Value{} ? Value{} : sum;
  }
};
struct ReluGradient {
  float operator()(float sum, const Bf16* relu) const { return to_float(*relu) > 0 ? sum : 0.0f; }
#if defined(__AVX512BF16__)
  Vector operator()(Vector sum, const Bf16* relu) const {
    return load(relu) > Vector{} ? sum : Vector{};
  }
#endif
};

template <class Finish>
void store_rows(const LayerProduct& call, const float* sums, int64_t row, int64_t rows,
                int64_t column, int64_t columns, const Finish& finish) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = sums + r * kPanel;
    const int64_t place = (row + r) * call.columns + column;
    const Bf16* relu = call.relu ? call.relu + place : nullptr;
    Bf16* to = call.c + place;
    int64_t i = 0;
#if defined(__AVX512BF16__)
    for (; i + kLanes <= columns; i += kLanes) {
      store_vector(to + i, finish(load(from + i), relu + i));
    }
#endif
    for (; i < columns; ++i) store(to + i, finish(from[i], relu + i));
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
      return store_rows(call, sums, row, rows, column, columns, ReluGradient{});
  }
}

class ProductWorker {
 public:
  ProductWorker(const LayerProduct& call, int64_t widest, void* memory)
      : call_(call),
        depth_(round_up(call.depth, kMatrixMultiple)),
        workspace_(memory),
        panels_(workspace_.take<P>(round_up(widest, kPanel) * depth_)),
        staging_(workspace_.take<P>(kPanel * depth_)),
        left_(workspace_.take<P>(kBlockRows * depth_)),
        sums_(workspace_.take<float>(kBlockRows * kPanel)) {}

  std::size_t bytes() const { return workspace_.used(); }

  void run(const GemmUnit& unit) {
    const Bf16* weights = call_.weights + unit.group * call_.columns * call_.depth;
    for (int64_t column = unit.column_begin; column < unit.column_end; column += kPanel) {
      P* to = panels_ + (column - unit.column_begin) * depth_;
      const int64_t columns = std::min(kPanel, unit.column_end - column);
      if (call_.transposed) {
        pack_transposed_panel(weights + column * call_.depth, call_.depth, columns, call_.depth, to,
                              depth_, staging_);
      } else {
        pack_panel(weights + column, call_.columns, call_.depth, columns, to, depth_);
      }
    }
    for (int64_t row = unit.row_begin; row < unit.row_end; row += kBlockRows) {
      run_rows(unit, row, std::min(kBlockRows, unit.row_end - row));
    }
  }

 private:
  void run_rows(const GemmUnit& unit, int64_t row, int64_t rows) {
    const auto [left, stride] = left_factor(call_.a + row * call_.a_stride, rows);
    for (int64_t column = unit.column_begin; column < unit.column_end; column += kPanel) {
      const P* panel = panels_ + (column - unit.column_begin) * depth_;
      multiply(
          Product<P>{rows, kPanel, depth_, left, stride, panel, kPanel, Initial{}, sums_, kPanel});
      store_block(call_, sums_, row, rows, column, std::min(kPanel, unit.column_end - column));
    }
  }

  /// The rows where they are if products can read them there.
  Left<P> left_factor(const Bf16* rows, int64_t count) {
    if (call_.depth == depth_ && count % kFullRows == 0 && in_place<P>(rows)) {
      return {in_place<P>(rows), call_.a_stride};
    }
    pack_rows(rows, call_.a_stride, count, call_.depth, left_, round_up(count, kFullRows), depth_);
    return {left_, depth_};
  }

  const LayerProduct& call_;
  int64_t depth_;  // padded
  Workspace workspace_;
  P* panels_;    // right factors [depth, kPanel] side by side
  P* staging_;   // [kPanel, depth]
  P* left_;      // [block, depth]
  float* sums_;  // [block, kPanel]
};

class GradientWorker {
 public:
  GradientWorker(const WeightGradient& call, int64_t widest, void* memory)
      : call_(call),
        outputs_(round_up(widest, kMatrixMultiple)),
        workspace_(memory),
        left_(workspace_.take<P>(outputs_ * kChunkRows)),
        staging_(workspace_.take<P>(2 * kMatrixMultiple * outputs_)),
        panel_(workspace_.take<P>(kChunkRows * kPanel)),
        sums_(workspace_.take<float>(outputs_ * kPanel)) {}

  std::size_t bytes() const { return workspace_.used(); }

  /// -> the sum of squares of this unit's part of the gradient.
  double run(const GemmUnit& unit) {
    Part part{call_.gradient + (unit.group * call_.outputs + unit.column_begin) * call_.inputs,
              unit.column_end - unit.column_begin, call_.accumulate};
    for (int64_t row = unit.row_begin; row < unit.row_end; row += kChunkRows) {
      add_chunk(unit, part, row, std::min(kChunkRows, unit.row_end - row));
      part.holds_sums = true;
    }
    double squares = 0;
    for (int64_t n = 0; n < part.outputs; ++n) {
      float* own = part.gradient + n * call_.inputs;
      if (!part.holds_sums) {
        std::memset(own, 0, static_cast<std::size_t>(call_.inputs) * sizeof(float));
      } else {
        squares += row_squares(own, call_.inputs);
      }
    }
    return squares;
  }

 private:
  struct Part {
    float* gradient;  // [outputs, K]
    int64_t outputs;
    bool holds_sums;  // to be added to
  };

  void add_chunk(const GemmUnit& unit, const Part& part, int64_t row, int64_t rows) {
    const int64_t depth = round_up(rows, kMatrixMultiple);
    pack_transposed_rows(call_.dy + row * call_.dy_stride + unit.column_begin, call_.dy_stride,
                         rows, part.outputs, left_, depth, round_up(part.outputs, kMatrixMultiple),
                         staging_);
    for (int64_t k = 0; k < call_.inputs; k += kPanel) {
      const int64_t columns = std::min(kPanel, call_.inputs - k);
      pack_panel(call_.x + row * call_.x_stride + k, call_.x_stride, rows, columns, panel_, depth);
      float* gradient = part.gradient + k;
      if (part.outputs % kFullRows == 0 && columns % kMatrixMultiple == 0) {
        const Initial initial{part.holds_sums ? gradient : nullptr, call_.inputs};
        multiply(Product<P>{part.outputs, columns, depth, left_, depth, panel_, kPanel, initial,
                            gradient, call_.inputs});
      } else {
        if (part.holds_sums) copy_block(gradient, call_.inputs, sums_, kPanel, part, columns);
        const Initial initial{part.holds_sums ? sums_ : nullptr, kPanel};
        multiply(Product<P>{part.outputs, kPanel, depth, left_, depth, panel_, kPanel, initial,
                            sums_, kPanel});
        copy_block(sums_, kPanel, gradient, call_.inputs, part, columns);
      }
    }
  }

  static void copy_block(const float* from, int64_t stride, float* to, int64_t to_stride,
                         const Part& part, int64_t columns) {
    for (int64_t n = 0; n < part.outputs; ++n) {
      std::copy_n(from + n * stride, columns, to + n * to_stride);
    }
  }

  static double row_squares(const float* row, int64_t count) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; ++i) sum += row[i] * row[i];
    return sum;
  }

  const WeightGradient& call_;
  int64_t outputs_;  // of the widest unit, padded
  Workspace workspace_;
  P* left_;      // [outputs, chunk]
  P* staging_;   // [2, 32, outputs]
  P* panel_;     // right factor [chunk, kPanel]
  float* sums_;  // [outputs, kPanel]
};

/// Calls work(worker, i) for every unit, each thread with a worker of its own.
template <class Worker, class Call, class Work>
void for_each_unit(const Call& call, const GemmUnit* units, int64_t count, const Work& work) {
  if (count == 0) return;
  int64_t widest = 0;
  for (int64_t i = 0; i < count; ++i) {
    widest = std::max(widest, units[i].column_end - units[i].column_begin);
  }
  const auto bytes = static_cast<std::size_t>(
      round_up(static_cast<int64_t>(Worker(call, widest, nullptr).bytes()), 4096));
  auto* memory = static_cast<std::byte*>(
      scratch_bytes(0, bytes * static_cast<std::size_t>(omp_get_max_threads())));
#pragma omp parallel
  {
    const MatrixScope scope;
    Worker worker(call, widest, memory + bytes * static_cast<std::size_t>(omp_get_thread_num()));
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
    squares[i] = worker.run(units[i]);
  });
}

}  // namespace

template <>
const GemmTable& table_of<GemmTable, kCompiledIsa>() {
  static constexpr GemmTable kTable = {layer_product, weight_gradient};
  return kTable;
}

}  // namespace switchyard::kernels
