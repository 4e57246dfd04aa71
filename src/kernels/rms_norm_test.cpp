// The norm against naive loops in double, for every instruction set, odd widths and odd addresses.
#include "kernels/rms_norm.h"

#include "kernels/test_data.h"

namespace switchyard::kernels {
namespace {

using testing::Buffer;
using testing::fill_random;
using testing::tolerance;
using testing::with_threads;

template <class T>
auto forward_of(const RmsNormTable& table) {
  if constexpr (std::is_same_v<T, float>)
    return table.forward_f32;
  else
    return table.forward_bf16;
}
template <class T>
auto backward_of(const RmsNormTable& table) {
  if constexpr (std::is_same_v<T, float>)
    return table.backward_f32;
  else
    return table.backward_bf16;
}

constexpr float kEpsilon = 1e-6f;

template <class T>
struct Case {
  Case(int64_t num_rows, int64_t row_width)
      : rows(num_rows),
        width(row_width),
        x(rows * width),
        dy(rows * width),
        y(rows * width),
        dx(rows * width),
        scale(width),
        dscale(width),
        rstd(rows) {
    fill_random(x, 1, 2.0f);
    fill_random(dy, 2);
    fill_random(scale, 3);
  }
  void forward(const RmsNormTable& table) {
    forward_of<T>(table)({x.data(), scale.data(), rows, width, kEpsilon, y.data(), rstd.data()});
  }
  void backward(const RmsNormTable& table, bool accumulate, const T* residual = nullptr) {
    backward_of<T>(table)({dy.data(), x.data(), scale.data(), rstd.data(), rows, width, residual,
                           dx.data(), dscale.data(), accumulate});
  }
  int64_t rows, width;
  Buffer<T> x, dy, y, dx;
  Buffer<float> scale, dscale, rstd;
};

template <class T>
void compare(const RmsNormTable& table, int64_t rows, int64_t width) {
  Case<T> c(rows, width);
  c.forward(table);
  c.dscale.fill(1.0f);
  c.backward(table, /*accumulate=*/true);
  std::vector<double> dscale(static_cast<size_t>(width), 1.0);
  for (int64_t r = 0; r < rows; ++r) {
    const auto x = [&](int64_t i) { return static_cast<double>(to_float(c.x[r * width + i])); };
    const auto g = [&](int64_t i) {
      return static_cast<double>(to_float(c.dy[r * width + i])) * c.scale[i];
    };
    double squares = 0, dot = 0;
    for (int64_t i = 0; i < width; ++i) squares += x(i) * x(i);
    const double rstd = 1 / std::sqrt(squares / static_cast<double>(width) + kEpsilon);
    ASSERT_NEAR(c.rstd[r], rstd, rstd * 1e-5);
    for (int64_t i = 0; i < width; ++i) dot += g(i) * x(i) * rstd;
    for (int64_t i = 0; i < width; ++i) {
      const double y = c.scale[i] * x(i) * rstd;
      ASSERT_NEAR(to_float(c.y[r * width + i]), y, tolerance<T>(y, 1e-5)) << r << ' ' << i;
      const double dx = rstd * (g(i) - x(i) * rstd * dot / static_cast<double>(width));
      ASSERT_NEAR(to_float(c.dx[r * width + i]), dx, tolerance<T>(dx, 1e-5)) << r << ' ' << i;
      dscale[static_cast<size_t>(i)] += to_float(c.dy[r * width + i]) * x(i) * rstd;
    }
  }
  for (int64_t i = 0; i < width; ++i) {
    ASSERT_NEAR(c.dscale[i], dscale[static_cast<size_t>(i)], 1e-4) << i;
  }
}

TEST(RmsNorm, EqualsNaiveLoops) {
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(isa_name(isa));
    for (const int64_t width : {1, 2, 7, 16, 31, 64, 129, 768}) {
      for (const int64_t rows : {1, 3, 65}) {
        SCOPED_TRACE(width);
        compare<float>(table<RmsNormTable>(isa), rows, width);
        compare<Bf16>(table<RmsNormTable>(isa), rows, width);
      }
    }
  }
}

TEST(RmsNorm, AddsTheResidual) {
  for (const Isa isa : available_isas()) {
    for (const int64_t width : {7, 64, 129}) {
      Case<float> c(5, width);
      c.forward(table<RmsNormTable>(isa));
      c.backward(table<RmsNormTable>(isa), false);
      Buffer<float> residual(c.x.size()), plain(c.x.size());
      fill_random(residual, 4);
      for (int64_t i = 0; i < plain.size(); ++i) plain[i] = c.dx[i];
      c.backward(table<RmsNormTable>(isa), false, residual.data());
      for (int64_t i = 0; i < plain.size(); ++i) {
        ASSERT_NEAR(c.dx[i], plain[i] + residual[i], 1e-5) << isa_name(isa) << ' ' << width;
      }
    }
  }
}

TEST(RmsNorm, SameBitsForAnyNumberOfThreads) {
  Case<Bf16> one(1100, 96), two(1100, 96);
  with_threads(1, [&] {
    one.forward(table<RmsNormTable>());
    one.backward(table<RmsNormTable>(), false);
  });
  with_threads(2, [&] {
    two.forward(table<RmsNormTable>());
    two.backward(table<RmsNormTable>(), false);
  });
  for (int64_t i = 0; i < one.x.size(); ++i) {
    ASSERT_EQ(one.y[i].bits, two.y[i].bits);
    ASSERT_EQ(one.dx[i].bits, two.dx[i].bits);
  }
  for (int64_t i = 0; i < one.width; ++i) ASSERT_EQ(one.dscale[i], two.dscale[i]);
}

TEST(RmsNorm, NanStaysInItsRow) {
  for (const Isa isa : available_isas()) {
    Case<float> c(2, 19);
    c.x[3] = std::nanf("");
    c.forward(table<RmsNormTable>(isa));
    for (int64_t i = 0; i < 19; ++i) {
      EXPECT_TRUE(std::isnan(c.y[i]));
      EXPECT_FALSE(std::isnan(c.y[19 + i]));
    }
  }
}

TEST(RmsNorm, ZeroRowsGiveZeros) {
  Case<float> c(1, 8);
  c.x.fill(0.0f);
  c.forward(table<RmsNormTable>());
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(c.y[i], 0.0f);
}

}  // namespace
}  // namespace switchyard::kernels
