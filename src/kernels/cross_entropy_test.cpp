// Cross-entropy against naive loops in double, for every instruction set, odd widths and addresses.
#include "kernels/cross_entropy.h"

#include <algorithm>
#include <memory>

#include "kernels/test_data.h"

namespace switchyard::kernels {
namespace {

using testing::Buffer;
using testing::fill_random;
using testing::tolerance;
using testing::with_threads;

template <class T>
auto forward_of(const CrossEntropyTable& table) {
  if constexpr (std::is_same_v<T, float>)
    return table.forward_f32;
  else
    return table.forward_bf16;
}
template <class T>
auto backward_of(const CrossEntropyTable& table) {
  if constexpr (std::is_same_v<T, float>)
    return table.backward_f32;
  else
    return table.backward_bf16;
}

constexpr float kScale = 0.5f, kZWeight = 0.01f, kGradient = 0.25f;

template <class T>
struct Case {
  Case(int64_t num_rows, int64_t row_width)
      : rows(num_rows),
        width(row_width),
        logits(rows * width),
        log_probs(rows),
        log_z(rows),
        targets(rows),
        correct(std::make_unique<bool[]>(static_cast<size_t>(rows))) {
    fill_random(logits, 1, 4.0f);
    for (int64_t r = 0; r < rows; ++r) targets[r] = r % 4 == 2 ? 0 : (r * 7 + 1) % width;
  }
  void forward(const CrossEntropyTable& table) {
    forward_of<T>(table)({logits.data(), targets.data(), rows, width, kScale, log_probs.data(),
                          log_z.data(), correct.get()});
  }
  void backward(const CrossEntropyTable& table) {
    backward_of<T>(table)(
        {logits.data(), targets.data(), log_z.data(), rows, width, kScale, kZWeight, kGradient});
  }
  int64_t rows, width;
  Buffer<T> logits;
  Buffer<float> log_probs, log_z;
  Buffer<int64_t> targets;
  std::unique_ptr<bool[]> correct;
};

template <class T>
void compare(const CrossEntropyTable& table, int64_t rows, int64_t width) {
  Case<T> c(rows, width);
  std::vector<double> x;
  for (int64_t i = 0; i < rows * width; ++i) {
    x.push_back(static_cast<double>(to_float(c.logits[i])) * kScale);
  }
  c.forward(table);
  c.backward(table);
  for (int64_t r = 0; r < rows; ++r) {
    const double* row = x.data() + r * width;
    const int64_t target = c.targets[r];
    if (target == 0) {
      ASSERT_EQ(c.log_probs[r], 0.0f);
      ASSERT_EQ(c.log_z[r], 0.0f);
      ASSERT_FALSE(c.correct[static_cast<size_t>(r)]);
      for (int64_t i = 0; i < width; ++i) ASSERT_EQ(to_float(c.logits[r * width + i]), 0.0f);
      continue;
    }
    double sum = 0;
    for (int64_t i = 0; i < width; ++i) sum += std::exp(row[i]);
    const double log_z = std::log(sum);
    ASSERT_NEAR(c.log_z[r], log_z, 1e-5);
    ASSERT_NEAR(c.log_probs[r], row[target] - log_z, 1e-5);
    ASSERT_EQ(c.correct[static_cast<size_t>(r)], std::max_element(row, row + width) - row == target)
        << r;
    for (int64_t i = 0; i < width; ++i) {
      const double p = std::exp(row[i] - log_z);
      const double expected =
          kGradient * kScale * (p * (1 + 2 * kZWeight * log_z) - (i == target ? 1 : 0));
      ASSERT_NEAR(to_float(c.logits[r * width + i]), expected, tolerance<T>(expected, 1e-6))
          << r << ' ' << i;
    }
  }
}

TEST(CrossEntropy, EqualsNaiveLoops) {
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(isa_name(isa));
    for (const int64_t width : {2, 7, 16, 33, 100, 5001}) {
      for (const int64_t rows : {1, 3, 50}) {
        SCOPED_TRACE(width);
        compare<float>(table<CrossEntropyTable>(isa), rows, width);
        compare<Bf16>(table<CrossEntropyTable>(isa), rows, width);
      }
    }
  }
}

// The gradient by central differences of the forward pass's own loss.
TEST(CrossEntropy, GradientMatchesFiniteDifferences) {
  constexpr int64_t kWidth = 19;
  Case<float> c(3, kWidth);
  const CrossEntropyTable& best = table<CrossEntropyTable>();
  const auto loss = [&] {
    c.forward(best);
    double sum = 0;
    for (int64_t r = 0; r < c.rows; ++r) {
      sum += kGradient * (-c.log_probs[r] + kZWeight * c.log_z[r] * c.log_z[r]);
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
  c.backward(best);
  for (int64_t i = 0; i < c.logits.size(); ++i) {
    EXPECT_NEAR(c.logits[i], numeric[static_cast<size_t>(i)], 1e-4) << i;
  }
}

TEST(CrossEntropy, TiesGoToTheLowestIndex) {
  for (const Isa isa : available_isas()) {
    Case<Bf16> c(2, 40);
    c.logits.fill(to_bf16(-1.0f));
    for (const int64_t i : {5, 9, 45, 49}) c.logits[i] = to_bf16(2.0f);
    c.targets[0] = 9;
    c.targets[1] = 5;
    c.forward(table<CrossEntropyTable>(isa));
    EXPECT_FALSE(c.correct[0]);
    EXPECT_TRUE(c.correct[1]);
  }
}

TEST(CrossEntropy, LargeLogitsStayFiniteAndBadOnesShow) {
  for (const Isa isa : available_isas()) {
    Case<float> c(4, 21);
    for (int64_t i = 0; i < 21; ++i) c.logits[i] = i == 3 ? 1e5f : -1e5f;
    c.logits[21 + 2] = std::nanf("");
    c.targets[0] = 3;
    c.targets[1] = 4;
    c.targets[3] = 5;
    c.forward(table<CrossEntropyTable>(isa));
    EXPECT_EQ(c.log_probs[0], 0.0f);
    EXPECT_TRUE(std::isnan(c.log_probs[1]));
    EXPECT_TRUE(std::isfinite(c.log_probs[3]));
  }
}

TEST(CrossEntropy, SameBitsForAnyNumberOfThreads) {
  Case<Bf16> one(300, 77), two(300, 77);
  with_threads(1, [&] {
    one.forward(table<CrossEntropyTable>());
    one.backward(table<CrossEntropyTable>());
  });
  with_threads(3, [&] {
    two.forward(table<CrossEntropyTable>());
    two.backward(table<CrossEntropyTable>());
  });
  for (int64_t i = 0; i < one.logits.size(); ++i) ASSERT_EQ(one.logits[i].bits, two.logits[i].bits);
  for (int64_t r = 0; r < one.rows; ++r) ASSERT_EQ(one.log_probs[r], two.log_probs[r]);
}

}  // namespace
}  // namespace switchyard::kernels
