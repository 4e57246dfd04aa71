// Distillation's loss and gradient against naive loops in double, for every instruction set.
#include "kernels/distillation.h"

#include <memory>
#include <vector>

#include "kernels/cross_entropy.h"
#include "kernels/test_data.h"

namespace switchyard::kernels {
namespace {

using testing::Buffer;
using testing::fill_random;
using testing::tolerance;
using testing::with_threads;

constexpr float kScale = 0.5f, kTeacherScale = 0.7f, kTemperature = 2.5f;
constexpr float kHard = 0.75f, kSoft = 0.25f, kZWeight = 0.01f, kGradient = 0.25f;

template <class T>
struct Case {
  Case(int64_t num_rows, int64_t row_width)
      : rows(num_rows),
        width(row_width),
        logits(rows * width),
        teacher(rows * width),
        log_probs(rows),
        log_z(rows),
        loss(rows),
        soft_log_z(rows),
        teacher_log_z(rows),
        targets(rows),
        correct(std::make_unique<bool[]>(static_cast<size_t>(rows))) {
    fill_random(logits, 1, 4.0f);
    fill_random(teacher, 2, 4.0f);
    for (int64_t r = 0; r < rows; ++r) targets[r] = r % 4 == 2 ? 0 : (r * 7 + 1) % width;
  }
  void forward(Isa isa) {
    const CrossEntropyTable& hard = table<CrossEntropyTable>(isa);
    const DistillationTable& soft = table<DistillationTable>(isa);
    const CrossEntropyForward<T> plain = {logits.data(), targets.data(), rows,
                                          width,         kScale,         log_probs.data(),
                                          log_z.data(),  correct.get()};
    const SoftLossForward<T> own = {logits.data(),
                                    teacher.data(),
                                    targets.data(),
                                    rows,
                                    width,
                                    kScale / kTemperature,
                                    kTeacherScale / kTemperature,
                                    loss.data(),
                                    soft_log_z.data(),
                                    teacher_log_z.data()};
    if constexpr (std::is_same_v<T, float>) {
      hard.forward_f32(plain);
      soft.soft_forward_f32(own);
    } else {
      hard.forward_bf16(plain);
      soft.soft_forward_bf16(own);
    }
  }
  void backward(Isa isa) {
    const DistillationTable& both = table<DistillationTable>(isa);
    const DistillationBackward<T> own = {
        logits.data(),        teacher.data(), targets.data(), log_z.data(), soft_log_z.data(),
        teacher_log_z.data(), rows,           width,          kScale,       kTeacherScale,
        kTemperature,         kHard,          kSoft,          kZWeight,     kGradient};
    if constexpr (std::is_same_v<T, float>) {
      both.backward_f32(own);
    } else {
      both.backward_bf16(own);
    }
  }
  int64_t rows, width;
  Buffer<T> logits, teacher;
  Buffer<float> log_probs, log_z, loss, soft_log_z, teacher_log_z;
  Buffer<int64_t> targets;
  std::unique_ptr<bool[]> correct;
};

/// Softmax of a row in double.
template <class T>
std::vector<double> softmax(const T* row, int64_t width, double scale) {
  std::vector<double> p;
  double sum = 0;
  for (int64_t i = 0; i < width; ++i) {
    p.push_back(std::exp(static_cast<double>(to_float(row[i])) * scale));
    sum += p.back();
  }
  for (double& value : p) value /= sum;
  return p;
}

template <class T>
void compare(Isa isa, int64_t rows, int64_t width) {
  Case<T> c(rows, width);
  const Case<T> before(rows, width);
  c.forward(isa);
  c.backward(isa);
  for (int64_t r = 0; r < rows; ++r) {
    const T *x = before.logits.data() + r * width, *y = before.teacher.data() + r * width;
    const int64_t target = c.targets[r];
    if (target == 0) {
      ASSERT_EQ(c.loss[r], 0.0f);
      for (int64_t i = 0; i < width; ++i) ASSERT_EQ(to_float(c.logits[r * width + i]), 0.0f);
      continue;
    }
    const auto p = softmax(x, width, kScale), q = softmax(x, width, kScale / kTemperature);
    const auto t = softmax(y, width, kTeacherScale / kTemperature);
    double loss = 0;
    for (int64_t i = 0; i < width; ++i) loss -= t[i] * std::log(q[i]);
    ASSERT_NEAR(c.loss[r], loss, 2e-5) << r;
    const double log_z = -std::log(p[0]) + to_float(x[0]) * kScale;
    for (int64_t i = 0; i < width; ++i) {
      const double hard = p[i] * (kHard + 2 * kZWeight * log_z) - (i == target ? kHard : 0);
      const double soft = kSoft * kTemperature * (q[i] - t[i]);
      const double expected = kGradient * kScale * (hard + soft);
      ASSERT_NEAR(to_float(c.logits[r * width + i]), expected, tolerance<T>(expected, 1e-6))
          << r << ' ' << i;
    }
  }
}

TEST(Distillation, EqualsNaiveLoops) {
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(isa_name(isa));
    for (const int64_t width : {2, 7, 16, 33, 100, 5001}) {
      for (const int64_t rows : {1, 3, 50}) {
        SCOPED_TRACE(width);
        compare<float>(isa, rows, width);
        compare<Bf16>(isa, rows, width);
      }
    }
  }
}

// The gradient by central differences of the forward passes' own losses.
TEST(Distillation, GradientMatchesFiniteDifferences) {
  Case<float> c(3, 19);
  const Isa isa = available_isas().back();
  const auto loss = [&] {
    c.forward(isa);
    double sum = 0;
    for (int64_t r = 0; r < c.rows; ++r) {
      sum += kGradient * (-kHard * c.log_probs[r] + kZWeight * c.log_z[r] * c.log_z[r] +
                          kSoft * kTemperature * kTemperature * c.loss[r]);
    }
    return sum;
  };
  std::vector<double> numeric;
  for (int64_t i = 0; i < c.logits.size(); ++i) {
    const float before = c.logits[i];
    c.logits[i] = before + 0.02f;
    const double above = loss();
    c.logits[i] = before - 0.02f;
    const double below = loss();
    c.logits[i] = before;
    numeric.push_back((above - below) / 0.04);
  }
  loss();
  c.backward(isa);
  for (int64_t i = 0; i < c.logits.size(); ++i) {
    EXPECT_NEAR(c.logits[i], numeric[static_cast<size_t>(i)], 2e-4) << i;
  }
}

TEST(Distillation, TheSameOnAnyNumberOfThreads) {
  std::vector<float> one, three;
  for (const int threads : {1, 3}) {
    with_threads(threads, [&] {
      Case<Bf16> c(37, 501);
      c.forward(available_isas().back());
      c.backward(available_isas().back());
      std::vector<float>& to = threads == 1 ? one : three;
      for (int64_t i = 0; i < c.logits.size(); ++i) to.push_back(to_float(c.logits[i]));
    });
  }
  EXPECT_EQ(one, three);
}

}  // namespace
}  // namespace switchyard::kernels
