// Row operations of decoding against plain loops in double.
#include "kernels/decode_rows.h"

#include <limits>

#include "kernels/test_data.h"

namespace switchyard::kernels {
namespace {

using testing::Buffer;
using testing::fill_random;
using testing::tolerance;

template <class T>
void compare_norm(Isa isa, int64_t rows, int64_t width) {
  Buffer<float> x(rows * width), scale(width);
  fill_random(x, 1, 2.0f);
  fill_random(scale, 2);
  Buffer<T> y(rows * width);
  const auto& kernels = table<DecodeRowsTable>(isa);
  if constexpr (std::is_same_v<T, float>) {
    kernels.norm_f32({x.data(), scale.data(), rows, width, 1e-6f, y.data()});
  } else {
    kernels.norm_bf16({x.data(), scale.data(), rows, width, 1e-6f, y.data()});
  }
  for (int64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) squares += std::pow(x[r * width + i], 2);
    const double rstd = 1 / std::sqrt(squares / static_cast<double>(width) + 1e-6);
    for (int64_t i = 0; i < width; ++i) {
      const double expected = scale[i] * x[r * width + i] * rstd;
      ASSERT_NEAR(to_float(y[r * width + i]), expected, tolerance<T>(expected, 1e-5));
    }
  }
}

TEST(DecodeRows, NormMatchesPlainLoops) {
  for (const Isa isa : available_isas()) {
    for (const int64_t width : {1, 15, 16, 33, 768}) {
      compare_norm<float>(isa, 3, width);
      compare_norm<Bf16>(isa, 3, width);
    }
    compare_norm<Bf16>(isa, 100, 400);
  }
}

TEST(DecodeRows, GegluMatchesPlainLoops) {
  for (const Isa isa : available_isas()) {
    for (const int64_t width : {1, 17, 64}) {
      Buffer<float> x(6 * width), y(3 * width);
      Buffer<Bf16> narrow(3 * width);
      fill_random(x, 1, 3.0f);
      table<DecodeRowsTable>(isa).geglu_f32({x.data(), 3, width, y.data()});
      table<DecodeRowsTable>(isa).geglu_bf16({x.data(), 3, width, narrow.data()});
      for (int64_t r = 0; r < 3; ++r) {
        for (int64_t i = 0; i < width; ++i) {
          const double a = x[2 * r * width + i], b = x[(2 * r + 1) * width + i];
          const double gelu =
              0.5 * a * (1 + std::tanh(std::sqrt(2 / M_PI) * (a + 0.044715 * a * a * a)));
          ASSERT_NEAR(y[r * width + i], gelu * b, 1e-5);
          ASSERT_NEAR(to_float(narrow[r * width + i]), gelu * b, tolerance<Bf16>(gelu * b, 1e-5));
        }
      }
    }
  }
}

TEST(DecodeRows, LogSoftmaxMatchesPlainLoops) {
  for (const Isa isa : available_isas()) {
    for (const int64_t width : {1, 16, 37, 5000}) {
      Buffer<float> x(2 * width), before(2 * width);
      fill_random(before, 4, 5.0f);
      std::copy_n(before.data(), before.size(), x.data());
      float log_sums[2];
      table<DecodeRowsTable>(isa).log_softmax({x.data(), 2, width, log_sums});
      for (int64_t r = 0; r < 2; ++r) {
        double sum = 0;
        for (int64_t i = 0; i < width; ++i) sum += std::exp(before[r * width + i]);
        ASSERT_NEAR(log_sums[r], std::log(sum), 5e-6);
        for (int64_t i = r * width; i < (r + 1) * width; ++i) {
          ASSERT_NEAR(x[i], before[i] - std::log(sum), 5e-6) << isa_name(isa) << ' ' << width;
        }
      }
    }
  }
}

TEST(DecodeRows, LogSoftmaxShowsWhatIsNotFinite) {
  for (const Isa isa : available_isas()) {
    for (const float odd : {std::nanf(""), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
      for (const int64_t place : {3, 36}) {
        Buffer<float> x(37);
        fill_random(x, 4);
        x[place] = odd;
        float log_sum;
        table<DecodeRowsTable>(isa).log_softmax({x.data(), 1, 37, &log_sum});
        EXPECT_TRUE(std::isnan(x[0])) << isa_name(isa) << ' ' << odd << ' ' << place;
      }
    }
  }
}

}  // namespace
}  // namespace switchyard::kernels
