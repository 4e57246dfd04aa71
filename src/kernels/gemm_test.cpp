// Products of layers and their weight gradients against plain loops in double: all instruction
// sets, odd sizes, odd addresses, strides, groups without rows.
#include "kernels/gemm.h"

#include <cstring>
#include <limits>
#include <ostream>

#include "kernels/scratch.h"
#include "kernels/test_data.h"

namespace switchyard::kernels {
namespace {

using testing::Buffer;
using testing::fill_random;
using testing::tolerance;
using testing::with_threads;

struct Shape {
  std::vector<int64_t> rows;  // of each group
  int64_t outputs, inputs;    // N, K
  bool odd = true;            // addresses and strides

  int64_t groups() const { return static_cast<int64_t>(rows.size()); }
  std::vector<int64_t> offsets() const {
    std::vector<int64_t> sums = {0};
    for (const int64_t count : rows) sums.push_back(sums.back() + count);
    return sums;
  }
  int64_t total_rows() const { return offsets().back(); }
};
std::ostream& operator<<(std::ostream& out, const Shape& s) {
  out << "rows";
  for (const int64_t count : s.rows) out << ' ' << count;
  return out << " N " << s.outputs << " K " << s.inputs << (s.odd ? " odd" : "");
}

std::vector<Shape> shapes() {
  return {
      {{1}, 1, 1},
      {{5, 0, 3}, 3, 7},
      {{16, 33, 0, 47}, 64, 32, false},
      {{31, 1, 0, 100}, 40, 96},
      {{48, 17}, 130, 65},
      {{64}, 192, 128, false},
      {{700, 3}, 72, 33},
      {{1100}, 100, 64, false},
      {{0, 0}, 8, 8},
      {{90, 250}, 600, 40},
      {{70}, 40, 900},          // a gradient in two parts of columns
      {{40}, 64, 1024, false},  // rows that alias in cache
  };
}

/// What a kernel finds in its working memory must not matter.
void fill_scratch_with_nan() {
  constexpr std::size_t kBytes = 16 << 20;
  std::memset(scratch_bytes(0, kBytes), 0xFF, kBytes);
}

/// One product: `forward` or input gradient, of one or several terms.
struct Problem {
  Problem(const Shape& the_shape, bool forward, GemmFinish the_finish, int64_t num_terms = 1)
      : shape(the_shape),
        finish(the_finish),
        transposed(forward),
        columns(forward ? shape.outputs : shape.inputs),
        depth(forward ? shape.inputs : shape.outputs),
        stride(depth + (shape.odd ? 3 : 0)),
        offsets(shape.offsets()),
        a(num_terms * input_size() + 1, shape.odd),
        weights(num_terms * weight_size(), shape.odd),
        relu(shape.total_rows() * columns, shape.odd) {
    fill_random(a, 1);
    fill_random(weights, 2);
    fill_random(relu, 3);
    for (int64_t i = 0; i < num_terms; ++i) {
      terms.push_back({a.data() + i * input_size(), stride, weights.data() + i * weight_size()});
    }
  }

  int64_t input_size() const { return shape.total_rows() * stride; }
  int64_t weight_size() const { return shape.groups() * shape.outputs * shape.inputs; }

  void run(Isa isa, Buffer<Bf16>& c) const {
    fill_scratch_with_nan();
    const bool gradient = finish == GemmFinish::kReluGradient;
    layer_product({{offsets.data(), shape.groups()},
                   columns,
                   depth,
                   terms.data(),
                   static_cast<int64_t>(terms.size()),
                   transposed,
                   finish,
                   gradient ? relu.data() : nullptr,
                   c.data()},
                  isa);
  }

  double expected(int64_t group, int64_t row, int64_t column) const {
    double sum = 0;
    for (const ProductTerm& in : terms) {
      for (int64_t d = 0; d < depth; ++d) {
        const int64_t n = transposed ? column : d, k = transposed ? d : column;
        sum += double{to_float(in.a[row * stride + d])} *
               to_float(in.weights[(group * shape.outputs + n) * shape.inputs + k]);
      }
    }
    if (finish == GemmFinish::kRelu) return std::max(sum, 0.0);
    if (finish == GemmFinish::kReluGradient && !(to_float(relu[row * columns + column]) > 0)) {
      return 0;
    }
    return sum;
  }

  Shape shape;
  GemmFinish finish;
  bool transposed;
  int64_t columns, depth, stride;
  std::vector<int64_t> offsets;
  Buffer<Bf16> a, weights, relu;
  std::vector<ProductTerm> terms;
};

class Gemm : public ::testing::TestWithParam<Isa> {};

INSTANTIATE_TEST_SUITE_P(Isas, Gemm, ::testing::ValuesIn(available_isas()),
                         [](const auto& isa) { return isa_name(isa.param); });

void expect_plain_loops(const Problem& problem, Isa isa) {
  const Shape& shape = problem.shape;
  Buffer<Bf16> c(shape.total_rows() * problem.columns, shape.odd);
  c.fill(to_bf16(77));
  problem.run(isa, c);
  for (int64_t e = 0; e < shape.groups(); ++e) {
    for (int64_t r = problem.offsets[static_cast<size_t>(e)];
         r < problem.offsets[static_cast<size_t>(e) + 1]; ++r) {
      for (int64_t n = 0; n < problem.columns; ++n) {
        const double expected = problem.expected(e, r, n);
        ASSERT_NEAR(to_float(c[r * problem.columns + n]), expected, tolerance<Bf16>(expected, 3e-5))
            << shape << " forward " << problem.transposed << " finish "
            << static_cast<int>(problem.finish) << " terms " << problem.terms.size() << " group "
            << e << " row " << r << " column " << n;
      }
    }
  }
}

TEST_P(Gemm, ProductsEqualPlainLoops) {
  for (const Shape& shape : shapes()) {
    for (const bool forward : {true, false}) {
      for (const GemmFinish finish :
           {GemmFinish::kStore, GemmFinish::kRelu, GemmFinish::kReluGradient}) {
        expect_plain_loops(Problem(shape, forward, finish), GetParam());
      }
      expect_plain_loops(Problem(shape, forward, GemmFinish::kStore, 3), GetParam());
    }
  }
}

TEST_P(Gemm, WritesNothingBeyondItsResult) {
  for (const Shape& shape : shapes()) {
    const Problem problem(shape, true, GemmFinish::kStore);
    const int64_t size = shape.total_rows() * shape.outputs;
    Buffer<Bf16> c(size + 64, shape.odd);
    c.fill(to_bf16(77));
    problem.run(GetParam(), c);
    for (int64_t i = size; i < c.size(); ++i) ASSERT_EQ(to_float(c[i]), 77) << shape;
  }
}

TEST_P(Gemm, RowsDoNotDependOnTheOthersNorOnThreads) {
  const Shape all{{300, 41}, 200, 96};
  const Problem problem(all, true, GemmFinish::kStore);
  Buffer<Bf16> whole(all.total_rows() * all.outputs);
  problem.run(GetParam(), whole);
  for (const int threads : {1, 2, 3}) {
    for (const int64_t rows : {1, 16, 33, 299}) {
      Problem part(all, true, GemmFinish::kStore);
      part.offsets = {0, rows, rows};
      Buffer<Bf16> c(rows * all.outputs);
      with_threads(threads, [&] { part.run(GetParam(), c); });
      for (int64_t i = 0; i < c.size(); ++i) ASSERT_EQ(c[i].bits, whole[i].bits) << rows;
    }
  }
}

TEST_P(Gemm, KeepsNan) {
  for (const GemmFinish finish : {GemmFinish::kStore, GemmFinish::kRelu}) {
    Problem problem({{20}, 64, 64}, true, finish);
    problem.a[5 * problem.stride + 7] = to_bf16(std::numeric_limits<float>::quiet_NaN());
    Buffer<Bf16> c(20 * 64);
    problem.run(GetParam(), c);
    for (int64_t r = 0; r < 20; ++r) {
      EXPECT_EQ(std::isnan(to_float(c[r * 64 + 3])), r == 5) << static_cast<int>(finish);
    }
  }
}

TEST_P(Gemm, WeightGradientsEqualPlainLoops) {
  for (const Shape& shape : shapes()) {
    for (const bool accumulate : {false, true}) {
      const int64_t rows = shape.total_rows(), gap = shape.odd ? 5 : 0;
      const int64_t dy_stride = shape.outputs + gap, x_stride = shape.inputs + gap;
      Buffer<Bf16> dy(rows * dy_stride + 1, shape.odd), x(rows * x_stride + 1, shape.odd);
      fill_random(dy, 1);
      fill_random(x, 2);
      const int64_t size = shape.groups() * shape.outputs * shape.inputs;
      Buffer<float> gradient(size + 64, shape.odd);
      gradient.fill(0.5f);
      const std::vector<int64_t> offsets = shape.offsets();
      fill_scratch_with_nan();
      const double squares = weight_gradient({{offsets.data(), shape.groups()},
                                              shape.outputs,
                                              shape.inputs,
                                              dy.data(),
                                              dy_stride,
                                              x.data(),
                                              x_stride,
                                              gradient.data(),
                                              accumulate},
                                             GetParam());
      double sum_of_squares = 0;
      for (int64_t e = 0; e < shape.groups(); ++e) {
        for (int64_t n = 0; n < shape.outputs; ++n) {
          for (int64_t k = 0; k < shape.inputs; ++k) {
            double expected = accumulate ? 0.5 : 0.0;
            for (int64_t r = offsets[static_cast<size_t>(e)];
                 r < offsets[static_cast<size_t>(e) + 1]; ++r) {
              expected += double{to_float(dy[r * dy_stride + n])} * to_float(x[r * x_stride + k]);
            }
            const float value = gradient[(e * shape.outputs + n) * shape.inputs + k];
            sum_of_squares += double{value} * value;
            ASSERT_NEAR(value, expected, 1e-4 + 2e-6 * std::abs(expected))
                << shape << " group " << e << " at " << n << ", " << k;
          }
        }
      }
      EXPECT_NEAR(squares, sum_of_squares, 1e-5 * sum_of_squares) << shape << accumulate;
      for (int64_t i = size; i < gradient.size(); ++i) ASSERT_EQ(gradient[i], 0.5f) << shape;
    }
  }
}

TEST_P(Gemm, WeightGradientsDoNotDependOnThreads) {
  const Shape shape{{900, 70, 130}, 200, 160};
  const int64_t rows = shape.total_rows();
  Buffer<Bf16> dy(rows * shape.outputs), x(rows * shape.inputs);
  fill_random(dy, 1);
  fill_random(x, 2);
  const std::vector<int64_t> offsets = shape.offsets();
  std::vector<float> first;
  double first_squares = 0;
  for (const int threads : {1, 2, 3, 7}) {
    std::vector<float> gradient(static_cast<size_t>(3 * shape.outputs * shape.inputs));
    double squares = 0;
    with_threads(threads, [&] {
      squares = weight_gradient({{offsets.data(), 3},
                                 shape.outputs,
                                 shape.inputs,
                                 dy.data(),
                                 shape.outputs,
                                 x.data(),
                                 shape.inputs,
                                 gradient.data(),
                                 false},
                                GetParam());
    });
    if (first.empty()) {
      first = gradient;
      first_squares = squares;
    }
    EXPECT_EQ(gradient, first) << threads;
    EXPECT_EQ(squares, first_squares) << threads;
  }
}

}  // namespace
}  // namespace switchyard::kernels
