#include "kernels/distillation.h"

#include "kernels/isa_log_sum.h"
#include "kernels/isa_math.h"

namespace switchyard::kernels {
namespace {

template <class T>
float log_sum(const T* logits, int64_t width, float scale) {
  const float top = largest(logits, width, scale);
  return static_cast<float>(top + std::log(sum_of_exponentials(logits, width, scale, top)));
}

// Sum of the teacher's probabilities times the student's logits: S = log Z(x) - this.
template <class T>
double expected_logit(const T* logits, const T* teacher, int64_t width, float scale,
                      float teacher_scale, float teacher_log_z) {
  constexpr int64_t kStretch = 2048;  // float32 over short stretches, double over these
  double total = 0;
  for (int64_t begin = 0; begin < width; begin += kStretch) {
    const int64_t end = std::min(width, begin + kStretch);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) {
      const float probability =
          vector_exp_below_one(to_float(teacher[i]) * teacher_scale - teacher_log_z);
      sum += probability * (to_float(logits[i]) * scale);
    }
    total += sum;
  }
  return total;
}

template <class T>
void soft_forward(const SoftLossForward<T>& in) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < in.rows; ++r) {
    in.loss[r] = in.log_z[r] = in.teacher_log_z[r] = 0;
    if (in.targets[r] <= 0) continue;
    const T *logits = in.logits + r * in.width, *teacher = in.teacher + r * in.width;
    in.log_z[r] = log_sum(logits, in.width, in.scale);
    in.teacher_log_z[r] = log_sum(teacher, in.width, in.teacher_scale);
    in.loss[r] =
        static_cast<float>(in.log_z[r] - expected_logit(logits, teacher, in.width, in.scale,
                                                        in.teacher_scale, in.teacher_log_z[r]));
  }
}

// With p = e^(x - log Z), q and t the softmaxes of x / tau and y / tau:
//   gradient * scale * (p * (hard + 2 * z_weight * log Z) - hard * [i = target]
//                       + soft * tau * (q - t)).
template <class T>
void backward(const DistillationBackward<T>& in) {
  // In locals: see cross_entropy_isa.cpp.
  const float scale = in.scale, outer = in.gradient * in.scale, hard = in.hard;
  const float soft_scale = in.scale / in.temperature;
  const float teacher_scale = in.teacher_scale / in.temperature;
  const float soft = outer * in.soft * in.temperature;
  const int64_t width = in.width;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < in.rows; ++r) {
    T* logits = in.logits + r * width;
    const T* teacher = in.teacher + r * width;
    const int64_t target = in.targets[r];
    if (target <= 0) {
      for (int64_t i = 0; i < width; ++i) store(logits + i, 0.0f);
      continue;
    }
    const float log_z = in.log_z[r], soft_log_z = in.soft_log_z[r];
    const float teacher_log_z = in.teacher_log_z[r];
    const float factor = outer * (hard + 2 * in.z_weight * log_z);
    const auto gradient_of = [=](float x, float y) {
      const float p = vector_exp_below_one(x * scale - log_z);
      const float q = vector_exp_below_one(x * soft_scale - soft_log_z);
      const float t = vector_exp_below_one(y * teacher_scale - teacher_log_z);
      return factor * p + soft * (q - t);
    };
    const float own =
        gradient_of(to_float(logits[target]), to_float(teacher[target])) - outer * hard;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      store(logits + i, gradient_of(to_float(logits[i]), to_float(teacher[i])));
    }
    store(logits + target, own);
  }
}

}  // namespace

template <>
const DistillationTable& table_of<DistillationTable, kCompiledIsa>() {
  static constexpr DistillationTable kTable = {soft_forward<float>, soft_forward<Bf16>,
                                               backward<float>, backward<Bf16>};
  return kTable;
}

}  // namespace switchyard::kernels
