#include <algorithm>
#include <cmath>

#include "kernels/isa_vector.h"
#include "kernels/rms_norm.h"
#include "kernels/scratch.h"

namespace switchyard::kernels {
namespace {

template <class T>
float sum_of_squares(const T* x, int64_t width) {
  Vector sum[2] = {};
  int64_t i = 0;
  for (; i + 2 * kLanes <= width; i += 2 * kLanes) {
    const Vector a = load(x + i), b = load(x + i + kLanes);
    sum[0] += a * a;
    sum[1] += b * b;
  }
  float rest = 0;
  for (; i < width; ++i) rest += to_float(x[i]) * to_float(x[i]);
  return sum_of(sum[0] + sum[1]) + rest;
}

template <class T>
void forward(const RmsNormForward<T>& in) {
  const int64_t width = in.width;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < in.rows; ++r) {
    const T* x = in.x + r * width;
    T* y = in.y + r * width;
    const float mean = sum_of_squares(x, width) / static_cast<float>(width);
    const float rstd = 1.0f / std::sqrt(mean + in.epsilon);
    in.rstd[r] = rstd;
    int64_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      store_vector(y + i, load(x + i) * rstd * load(in.scale + i));
    }
    for (; i < width; ++i) store(y + i, to_float(x[i]) * rstd * in.scale[i]);
  }
}

// With n = x * rstd:  dx = rstd * (dy * scale - n * mean(dy * scale * n)),  dscale = sum(dy * n).
/// dscale += dy * n of one row, n = x * rstd; -> sum of dy * scale * n.
template <class T>
float add_dscale(const RmsNormBackward<T>& in, const T* dy, const T* x, float rstd, float* dscale) {
  Vector dot{};
  int64_t i = 0;
  for (; i + kLanes <= in.width; i += kLanes) {
    const Vector product = load(dy + i) * (load(x + i) * rstd);
    store_vector(dscale + i, load(dscale + i) + product);
    dot += product * load(in.scale + i);
  }
  float rest = 0;
  for (; i < in.width; ++i) {
    const float product = to_float(dy[i]) * (to_float(x[i]) * rstd);
    dscale[i] += product;
    rest += product * in.scale[i];
  }
  return sum_of(dot) + rest;
}

/// dx = rstd * (dy * scale - n * mean) + residual. dx may be dy.
template <class T>
void write_dx(const RmsNormBackward<T>& in, const T* dy, const T* x, float rstd, float mean,
              const T* residual, T* dx) {
  int64_t i = 0;
  for (; i + kLanes <= in.width; i += kLanes) {
    Vector value = rstd * (load(dy + i) * load(in.scale + i) - (load(x + i) * rstd) * mean);
    if (residual) value += load(residual + i);
    store_vector(dx + i, value);
  }
  for (; i < in.width; ++i) {
    float value = rstd * (to_float(dy[i]) * in.scale[i] - (to_float(x[i]) * rstd) * mean);
    if (residual) value += to_float(residual[i]);
    store(dx + i, value);
  }
}

template <class T>
void backward_row(const RmsNormBackward<T>& in, int64_t r, float* dscale) {
  const int64_t start = r * in.width;
  const T *dy = in.dy + start, *x = in.x + start;
  const float rstd = in.rstd[r];
  const float dot = add_dscale(in, dy, x, rstd, dscale);
  if (!in.dx) return;
  write_dx(in, dy, x, rstd, dot / static_cast<float>(in.width),
           in.residual ? in.residual + start : nullptr, in.dx + start);
}

// Rows are cut into blocks by their number alone and each block sums its own dscale, so that the
// order of additions is the same for any number of threads.
template <class T>
void backward(const RmsNormBackward<T>& in) {
  constexpr int64_t kMaxBlocks = 64, kMinRows = 16;
  const int64_t width = in.width;
  const int64_t per_block = std::max(kMinRows, (in.rows + kMaxBlocks - 1) / kMaxBlocks);
  const int64_t blocks = (in.rows + per_block - 1) / per_block;
  auto* partial = static_cast<float*>(
      scratch_bytes(0, static_cast<std::size_t>(blocks * width) * sizeof(float)));
#pragma omp parallel for schedule(static)
  for (int64_t b = 0; b < blocks; ++b) {
    float* own = partial + b * width;
    for (int64_t i = 0; i < width; ++i) own[i] = 0;
    const int64_t end = std::min(in.rows, (b + 1) * per_block);
    for (int64_t r = b * per_block; r < end; ++r) backward_row(in, r, own);
  }
  if (!in.accumulate) {
    for (int64_t i = 0; i < width; ++i) in.dscale[i] = 0;
  }
  for (int64_t b = 0; b < blocks; ++b) {
    const float* own = partial + b * width;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) in.dscale[i] += own[i];
  }
}

}  // namespace

template <>
const RmsNormTable& table_of<RmsNormTable, kCompiledIsa>() {
  static constexpr RmsNormTable kTable = {forward<float>, forward<Bf16>, backward<float>,
                                          backward<Bf16>};
  return kTable;
}

}  // namespace switchyard::kernels
