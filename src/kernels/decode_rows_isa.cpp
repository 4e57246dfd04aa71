#include "kernels/decode_rows.h"

#include <cmath>
#include <limits>

#include "kernels/isa_vector.h"

namespace switchyard::kernels {
namespace {

constexpr int64_t kSerial = 1 << 15;  // elements below which waking threads costs more

inline float sum_of_squares(const float* x, int64_t width) {
  Vector sum[2] = {};
  int64_t i = 0;
  for (; i + 2 * kLanes <= width; i += 2 * kLanes) {
    const Vector a = load(x + i), b = load(x + i + kLanes);
    sum[0] += a * a;
    sum[1] += b * b;
  }
  float rest = 0;
  for (; i < width; ++i) rest += x[i] * x[i];
  return sum_of(sum[0] + sum[1]) + rest;
}

template <class T>
void norm(const NormRows<T>& in) {
  const int64_t width = in.width;
#pragma omp parallel for schedule(static) if (in.rows * width > kSerial)
  for (int64_t r = 0; r < in.rows; ++r) {
    const float* x = in.x + r * width;
    T* y = in.y + r * width;
    const float mean = sum_of_squares(x, width) / static_cast<float>(width);
    const float rstd = 1.0f / std::sqrt(mean + in.epsilon);
    int64_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      store_vector(y + i, load(x + i) * rstd * load(in.scale + i));
    }
    for (; i < width; ++i) store(y + i, x[i] * rstd * in.scale[i]);
  }
}

constexpr float kTwiceRootTwoOverPi = 1.5957691216f, kCubic = 0.044715f;

// gelu(a) = a * s(z) with s the logistic function and z = 2 sqrt(2 / pi) (a + 0.044715 a^3).
template <class T>
void geglu(const GegluRows<T>& in) {
  const int64_t width = in.width;
#pragma omp parallel for schedule(static) if (in.rows * width > kSerial)
  for (int64_t r = 0; r < in.rows; ++r) {
    const float *gate = in.x + r * 2 * width, *linear = gate + width;
    T* y = in.y + r * width;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      const float a = gate[i];
      const float z = -kTwiceRootTwoOverPi * (a + kCubic * a * a * a);
      store(y + i, a / (1.0f + vector_exp(z)) * linear[i]);
    }
  }
}

void log_softmax(const LogSoftmaxRows& in) {
  const int64_t width = in.width;
#pragma omp parallel for schedule(static) if (in.rows > 1)
  for (int64_t r = 0; r < in.rows; ++r) {
    float* x = in.x + r * width;
    const int64_t whole = width / kLanes * kLanes;
    Vector top = splat(-std::numeric_limits<float>::infinity());
    for (int64_t i = 0; i < whole; i += kLanes) top = larger(top, load(x + i));
    float largest = over_lanes(top, larger);
    for (int64_t i = whole; i < width; ++i) largest = x[i] > largest ? x[i] : largest;
    // exp_below_one would lose what is not finite, subtracting keeps it: x - x is 0 or NaN.
    Vector sum[4] = {}, odd{};
    for (int64_t i = 0; i < whole; i += kLanes) {
      const Vector value = load(x + i);
      sum[i / kLanes % 4] += vector_exp_below_one(value - largest);
      odd += value - value;
    }
    double total = sum_of((sum[0] + sum[1]) + (sum[2] + sum[3])) + sum_of(odd);
    for (int64_t i = whole; i < width; ++i) {
      total += vector_exp_below_one(x[i] - largest) + (x[i] - x[i]);
    }
    const float log_sum = largest + static_cast<float>(std::log(total));
    in.log_sums[r] = log_sum;
    for (int64_t i = 0; i < whole; i += kLanes) store_vector(x + i, load(x + i) - log_sum);
    for (int64_t i = whole; i < width; ++i) x[i] -= log_sum;
  }
}

}  // namespace

template <>
const DecodeRowsTable& table_of<DecodeRowsTable, kCompiledIsa>() {
  static constexpr DecodeRowsTable kTable = {norm<float>, norm<Bf16>, geglu<float>, geglu<Bf16>,
                                             log_softmax};
  return kTable;
}

}  // namespace switchyard::kernels
