#include <algorithm>
#include <cmath>

#include "kernels/isa_math.h"
#include "kernels/rms_norm.h"
#include "kernels/scratch.h"

namespace switchyard::kernels {
namespace {

template <class T>
void forward(const RmsNormForward<T>& in) {
  const int64_t width = in.width;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < in.rows; ++r) {
    const T* x = in.x + r * width;
    T* y = in.y + r * width;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; ++i) sum += to_float(x[i]) * to_float(x[i]);
    const float rstd = 1.0f / std::sqrt(sum / static_cast<float>(width) + in.epsilon);
    in.rstd[r] = rstd;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) store(y + i, to_float(x[i]) * rstd * in.scale[i]);
  }
}

// With n = x * rstd:  dx = rstd * (dy * scale - n * mean(dy * scale * n)),  dscale = sum(dy * n).
template <class T>
void backward_row(const RmsNormBackward<T>& in, int64_t r, float* dscale) {
  const int64_t width = in.width;
  const T* dy = in.dy + r * width;
  const T* x = in.x + r * width;
  const float rstd = in.rstd[r];
  float dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t i = 0; i < width; ++i) {
    const float product = to_float(dy[i]) * (to_float(x[i]) * rstd);
    dscale[i] += product;
    dot += product * in.scale[i];
  }
  if (!in.dx) return;
  const float mean = dot / static_cast<float>(width);
  T* dx = in.dx + r * width;
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    const float normed = to_float(x[i]) * rstd;
    store(dx + i, rstd * (to_float(dy[i]) * in.scale[i] - normed * mean));
  }
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
