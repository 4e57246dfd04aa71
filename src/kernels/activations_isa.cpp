#include "kernels/activations.h"

#include <algorithm>

#include "kernels/isa_math.h"

namespace switchyard::kernels {
namespace {

// Below this, waking threads costs more than they save.
constexpr int64_t kSerial = 1 << 15;
constexpr int64_t kBlock = 1 << 13;

// On stored values, so that bfloat16 needs no conversion: as signed integers, values above zero are
// above zero, and so are NaN without a sign; NaN with a sign are looked for.
float relu_of(float x) { return x < 0.0f ? 0.0f : x; }
Bf16 relu_of(Bf16 x) {
  const bool keep = static_cast<int16_t>(x.bits) > 0 || (x.bits & 0x7FFFu) > 0x7F80u;
  return {static_cast<uint16_t>(keep ? x.bits : 0)};
}
float pass_if_positive(float y, float dy) { return y > 0.0f ? dy : 0.0f; }
Bf16 pass_if_positive(Bf16 y, Bf16 dy) {
  return {static_cast<uint16_t>(static_cast<int16_t>(y.bits) > 0 ? dy.bits : 0)};
}

template <class T>
void relu_all(const T* x, int64_t count, T* y) {
#pragma omp parallel for schedule(static) if (count > kSerial)
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(count, begin + kBlock);
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) y[i] = relu_of(x[i]);
  }
}

template <class T>
void relu_backward_all(const T* y, const T* dy, int64_t count, T* dx) {
#pragma omp parallel for schedule(static) if (count > kSerial)
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(count, begin + kBlock);
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) dx[i] = pass_if_positive(y[i], dy[i]);
  }
}

constexpr float kTwiceRootTwoOverPi = 1.5957691216f, kCubic = 0.044715f;

// gelu(a) = a * s(z) with s the logistic function and z = 2 sqrt(2 / pi) (a + 0.044715 a^3).
float logistic_of_gelu(float a) {
  return 1.0f / (1.0f + vector_exp(-kTwiceRootTwoOverPi * (a + kCubic * a * a * a)));
}

template <class T>
void geglu_all(const T* x, int64_t rows, int64_t width, T* y) {
#pragma omp parallel for schedule(static) if (rows * width > kSerial)
  for (int64_t r = 0; r < rows; ++r) {
    const T *gate = x + r * 2 * width, *linear = gate + width;
    T* out = y + r * width;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      const float a = to_float(gate[i]);
      store(out + i, a * logistic_of_gelu(a) * to_float(linear[i]));
    }
  }
}

template <class T>
void geglu_backward_all(const T* x, const T* dy, int64_t rows, int64_t width, T* dx) {
#pragma omp parallel for schedule(static) if (rows * width > kSerial)
  for (int64_t r = 0; r < rows; ++r) {
    const T *gate = x + r * 2 * width, *linear = gate + width, *upstream = dy + r * width;
    T *gate_gradient = dx + r * 2 * width, *linear_gradient = gate_gradient + width;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      const float a = to_float(gate[i]), b = to_float(linear[i]), g = to_float(upstream[i]);
      const float s = logistic_of_gelu(a);
      const float slope = kTwiceRootTwoOverPi * (1.0f + 3.0f * kCubic * a * a);
      store(gate_gradient + i, g * b * (s + a * s * (1.0f - s) * slope));
      store(linear_gradient + i, g * a * s);
    }
  }
}

}  // namespace

template <>
const ActivationTable& table_of<ActivationTable, kCompiledIsa>() {
  static constexpr ActivationTable kTable = {
      relu_all<float>,  relu_all<Bf16>,  relu_backward_all<float>,  relu_backward_all<Bf16>,
      geglu_all<float>, geglu_all<Bf16>, geglu_backward_all<float>, geglu_backward_all<Bf16>};
  return kTable;
}

}  // namespace switchyard::kernels
