// Activations against naive loops in double, for every instruction set, odd sizes and addresses.
#include "kernels/activations.h"

#include "kernels/test_data.h"

namespace switchyard::kernels {
namespace {

using testing::Buffer;
using testing::fill_random;
using testing::tolerance;

// The functions of one instruction set for type T.
template <class T>
struct Functions {
  void (*relu)(const T*, int64_t, T*);
  void (*relu_backward)(const T*, const T*, int64_t, T*);
  void (*geglu)(const T*, int64_t, int64_t, T*);
  void (*geglu_backward)(const T*, const T*, int64_t, int64_t, T*);
};

template <class T>
Functions<T> functions(Isa isa) {
  const ActivationTable& all = table<ActivationTable>(isa);
  if constexpr (std::is_same_v<T, float>) {
    return {all.relu_f32, all.relu_backward_f32, all.geglu_f32, all.geglu_backward_f32};
  } else {
    return {all.relu_bf16, all.relu_backward_bf16, all.geglu_bf16, all.geglu_backward_bf16};
  }
}

template <class T>
double wide(T value) {
  return static_cast<double>(to_float(value));
}

template <class T>
void compare_relu(Isa isa, int64_t count) {
  Buffer<T> x(count), dy(count), y(count), dx(count);
  fill_random(x, 1);
  fill_random(dy, 2);
  store(&x[0], 0.0f);
  functions<T>(isa).relu(x.data(), count, y.data());
  functions<T>(isa).relu_backward(y.data(), dy.data(), count, dx.data());
  for (int64_t i = 0; i < count; ++i) {
    ASSERT_EQ(to_float(y[i]), to_float(x[i]) > 0 ? to_float(x[i]) : 0.0f) << i;
    ASSERT_EQ(to_float(dx[i]), to_float(x[i]) > 0 ? to_float(dy[i]) : 0.0f) << i;
  }
}

TEST(Relu, EqualsNaiveLoops) {
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(isa_name(isa));
    for (const int64_t count : {1, 15, 64, 1001, 40000}) {
      compare_relu<float>(isa, count);
      compare_relu<Bf16>(isa, count);
    }
  }
}

TEST(Relu, NanStaysNan) {
  for (const Isa isa : available_isas()) {
    for (const float sign : {1.0f, -1.0f}) {
      Buffer<float> x(40);
      Buffer<Bf16> half(40);
      x.fill(std::copysign(std::nanf(""), sign));
      half.fill(to_bf16(x[0]));
      functions<float>(isa).relu(x.data(), 40, x.data());
      functions<Bf16>(isa).relu(half.data(), 40, half.data());
      for (int64_t i = 0; i < 40; ++i) {
        ASSERT_TRUE(std::isnan(x[i])) << sign;
        ASSERT_TRUE(std::isnan(to_float(half[i]))) << sign;
      }
    }
  }
}

double gelu(double a) {
  return 0.5 * a * (1 + std::tanh(std::sqrt(2 / M_PI) * (a + 0.044715 * a * a * a)));
}

template <class T>
void compare_geglu(Isa isa, int64_t rows, int64_t width) {
  Buffer<T> x(rows * 2 * width), dy(rows * width), y(rows * width), dx(rows * 2 * width);
  fill_random(x, 1, 3.0f);
  fill_random(dy, 2);
  functions<T>(isa).geglu(x.data(), rows, width, y.data());
  functions<T>(isa).geglu_backward(x.data(), dy.data(), rows, width, dx.data());
  constexpr double kStep = 1e-4;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < width; ++i) {
      const int64_t gate = r * 2 * width + i, linear = gate + width;
      const double a = wide(x[gate]), b = wide(x[linear]), g = wide(dy[r * width + i]);
      const double value = gelu(a) * b;
      ASSERT_NEAR(wide(y[r * width + i]), value, tolerance<T>(value, 2e-5));
      const double slope = (gelu(a + kStep) - gelu(a - kStep)) / (2 * kStep);
      ASSERT_NEAR(wide(dx[gate]), g * b * slope, tolerance<T>(g * b * slope, 5e-5)) << a;
      ASSERT_NEAR(wide(dx[linear]), g * gelu(a), tolerance<T>(g * gelu(a), 2e-5)) << a;
    }
  }
}

TEST(Geglu, EqualsNaiveLoopsAndFiniteDifferences) {
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(isa_name(isa));
    for (const int64_t width : {1, 7, 16, 65, 700}) {
      for (const int64_t rows : {1, 3, 60}) {
        compare_geglu<float>(isa, rows, width);
        compare_geglu<Bf16>(isa, rows, width);
      }
    }
  }
}

TEST(Geglu, FarFromZeroItIsTheProductOrZero) {
  for (const Isa isa : available_isas()) {
    Buffer<float> x(4), y(2), dx(4);
    x[0] = 60.0f;
    x[1] = -60.0f;
    x[2] = x[3] = 2.0f;
    functions<float>(isa).geglu(x.data(), 1, 2, y.data());
    EXPECT_EQ(y[0], 120.0f);
    EXPECT_EQ(y[1], 0.0f);
    y[0] = y[1] = 1.0f;
    functions<float>(isa).geglu_backward(x.data(), y.data(), 1, 2, dx.data());
    EXPECT_EQ(dx[0], 2.0f);
    EXPECT_EQ(dx[1], 0.0f);
  }
}

}  // namespace
}  // namespace switchyard::kernels
