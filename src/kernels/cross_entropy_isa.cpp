#include "kernels/cross_entropy.h"

#include <cmath>

#include "kernels/isa_log_sum.h"
#include "kernels/isa_math.h"

namespace switchyard::kernels {
namespace {

template <class T>
bool occurs_before(const T* logits, int64_t end, float scale, float value) {
  for (int64_t i = 0; i < end; ++i) {
    if (to_float(logits[i]) * scale == value) return true;
  }
  return false;
}

template <class T>
void forward(const CrossEntropyForward<T>& in) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < in.rows; ++r) {
    const int64_t target = in.targets[r];
    in.log_probs[r] = in.log_z[r] = 0;
    in.correct[r] = false;
    if (target <= 0) continue;
    const T* logits = in.logits + r * in.width;
    const float top = largest(logits, in.width, in.scale);
    const double log_z = top + std::log(sum_of_exponentials(logits, in.width, in.scale, top));
    const float own = to_float(logits[target]) * in.scale;
    in.log_z[r] = static_cast<float>(log_z);
    in.log_probs[r] = static_cast<float>(own - log_z);
    in.correct[r] = own == top && !occurs_before(logits, target, in.scale, top);
  }
}

// With p = e^(x - log Z): gradient * scale * (p * (1 + 2 * z_weight * log Z) - [i = target]).
template <class T>
void backward(const CrossEntropyBackward<T>& in) {
  // In locals: a float written to the logits might be one of `in`, for all the compiler knows, and
  // it would leave the loop scalar.
  const float scale = in.scale, z_weight = in.z_weight, outer = in.gradient * scale;
  const int64_t width = in.width;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < in.rows; ++r) {
    T* logits = in.logits + r * width;
    const int64_t target = in.targets[r];
    if (target <= 0) {
      for (int64_t i = 0; i < width; ++i) store(logits + i, 0.0f);
      continue;
    }
    const float log_z = in.log_z[r];
    const float factor = outer * (1 + 2 * z_weight * log_z);
    const float own =
        factor * vector_exp_below_one(to_float(logits[target]) * scale - log_z) - outer;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      const float probability = vector_exp_below_one(to_float(logits[i]) * scale - log_z);
      store(logits + i, factor * probability);
    }
    store(logits + target, own);
  }
}

}  // namespace

template <>
const CrossEntropyTable& table_of<CrossEntropyTable, kCompiledIsa>() {
  static constexpr CrossEntropyTable kTable = {forward<float>, forward<Bf16>, backward<float>,
                                               backward<Bf16>};
  return kTable;
}

}  // namespace switchyard::kernels
