// The updates against naive loops in double, for every instruction set, odd sizes and odd
// addresses.
#include "kernels/optimizer_update.h"

#include "kernels/test_data.h"

namespace switchyard::kernels {
namespace {

using testing::Buffer;
using testing::fill_random;
using testing::with_threads;

using Doubles = std::vector<double>;

template <class T>
Doubles doubles(const Buffer<T>& buffer) {
  Doubles values;
  for (int64_t i = 0; i < buffer.size(); ++i) {
    values.push_back(static_cast<double>(to_float(buffer[i])));
  }
  return values;
}

void expect_near(const Buffer<float>& found, const Doubles& expected, const char* what) {
  double largest = 0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  for (int64_t i = 0; i < found.size(); ++i) {
    ASSERT_NEAR(found[i], expected[static_cast<size_t>(i)], 3e-6 * largest) << what << ' ' << i;
  }
}

void expect_rounded_copy(const Buffer<Bf16>& copy, const Buffer<float>& value) {
  for (int64_t i = 0; i < copy.size(); ++i) ASSERT_EQ(copy[i].bits, to_bf16(value[i]).bits) << i;
}

template <class T>
void fill_absolute(Buffer<T>& buffer, uint32_t seed) {
  fill_random(buffer, seed);
  for (int64_t i = 0; i < buffer.size(); ++i) buffer[i] = std::abs(buffer[i]) + 1e-3f;
}

struct AdamWCase {
  explicit AdamWCase(int64_t size)
      : gradient(size), value(size), first(size), second(size), compute(size) {
    fill_random(gradient, 1);
    fill_random(value, 2);
    fill_random(first, 3);
    fill_absolute(second, 4);
  }
  AdamWUpdate arguments(bool with_copy) {
    return {gradient.data(),
            value.data(),
            first.data(),
            second.data(),
            with_copy ? compute.data() : nullptr,
            value.size(),
            0.5,
            0.9,
            0.99,
            0.271,
            0.0297,
            1e-3,
            0.1,
            0.2,
            &change_squares};
  }
  Buffer<float> gradient, value, first, second;
  Buffer<Bf16> compute;
  double change_squares = 0;
};

/// Of elements begin .. end. What float32 values move by carries their rounding.
double squares_of_change(const Buffer<float>& after, const Doubles& before, int64_t begin,
                         int64_t end) {
  double sum = 0;
  for (int64_t i = begin; i < end; ++i) {
    const double change = after[i] - before[static_cast<size_t>(i)];
    sum += change * change;
  }
  return sum;
}

void compare_adamw(const OptimizerUpdateTable& table, int64_t size, bool with_copy) {
  AdamWCase c(size);
  Doubles value = doubles(c.value), first = doubles(c.first), second = doubles(c.second);
  const Doubles before = value;
  const AdamWUpdate in = c.arguments(with_copy);
  for (size_t i = 0; i < value.size(); ++i) {
    const double g = in.gradient[i] * in.gradient_scale;
    first[i] = in.beta1 * first[i] + (1 - in.beta1) * g;
    second[i] = in.beta2 * second[i] + (1 - in.beta2) * g * g;
    const double update =
        first[i] / in.correction1 / (std::sqrt(second[i] / in.correction2) + in.epsilon);
    value[i] = value[i] * (1 - in.rate * in.decay) - in.rate * update;
  }
  table.adamw(in);
  expect_near(c.value, value, "value");
  expect_near(c.first, first, "first");
  expect_near(c.second, second, "second");
  if (with_copy) expect_rounded_copy(c.compute, c.value);
  const double squares = squares_of_change(c.value, before, 0, size);
  EXPECT_NEAR(c.change_squares, squares, 1e-4 * squares);
}

TEST(AdamWUpdate, EqualsNaiveLoops) {
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(isa_name(isa));
    for (const int64_t size : {1, 7, 16, 33, 1000, 40001}) {
      SCOPED_TRACE(size);
      compare_adamw(table<OptimizerUpdateTable>(isa), size, true);
      compare_adamw(table<OptimizerUpdateTable>(isa), size, false);
    }
  }
}

struct Shape {
  int64_t matrices, rows, columns;
};

struct AdafactorCase {
  AdafactorCase(const Shape& s, bool is_factored)
      : shape(s),
        factored(is_factored),
        gradient(s.matrices * s.rows * s.columns),
        value(gradient.size()),
        rows(factored ? s.matrices * s.rows : gradient.size()),
        columns(s.matrices * s.columns),
        moment(gradient.size()),
        compute(gradient.size()),
        change_squares(static_cast<size_t>(s.matrices)) {
    fill_random(gradient, 1);
    fill_random(value, 2, 0.3f);
    fill_absolute(rows, 3);
    fill_absolute(columns, 4);
    fill_random(moment, 6, 0.1f);
  }
  AdafactorUpdate arguments(bool with_copy, bool scale_parameter, bool with_momentum = false) {
    return {gradient.data(),
            value.data(),
            rows.data(),
            factored ? columns.data() : nullptr,
            with_momentum ? moment.data() : nullptr,
            with_copy ? compute.data() : nullptr,
            shape.matrices,
            shape.rows,
            shape.columns,
            0.5,
            0.7,
            0.8,
            scale_parameter,
            0.1,
            0.05,
            0.9,
            change_squares.data()};
  }
  Shape shape;
  bool factored;
  Buffer<float> gradient, value, rows, columns, moment;
  Buffer<Bf16> compute;
  Doubles change_squares;  // [matrices]
};

double root_mean_square(const double* x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += x[i] * x[i];
  return std::sqrt(sum / static_cast<double>(count));
}

// Means of g^2 along an axis, added to the running ones: [count] groups of [length], `step` apart.
void add_means(const AdafactorUpdate& in, const double* gradient, int64_t count, int64_t length,
               int64_t group_step, int64_t step, double* means) {
  for (int64_t i = 0; i < count; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < length; ++j) {
      const double g = gradient[i * group_step + j * step];
      sum += g * g + 1e-30;
    }
    means[i] = in.beta2 * means[i] + (1 - in.beta2) * sum / static_cast<double>(length);
  }
}

void naive_adafactor(const AdafactorUpdate& in, bool factored, Doubles& value, Doubles& rows,
                     Doubles& columns, Doubles& moment) {
  const int64_t height = in.num_rows, width = in.num_columns, numel = height * width;
  for (int64_t m = 0; m < in.num_matrices; ++m) {
    Doubles gradient, update(static_cast<size_t>(numel));
    for (int64_t i = 0; i < numel; ++i) {
      gradient.push_back(in.gradient[m * numel + i] * in.gradient_scale);
    }
    double* own_rows = rows.data() + m * (factored ? height : numel);
    double* own_columns = columns.data() + m * width;
    double row_mean = 0;
    if (factored) {
      add_means(in, gradient.data(), height, width, width, 1, own_rows);
      add_means(in, gradient.data(), width, height, 1, width, own_columns);
      for (int64_t r = 0; r < height; ++r) row_mean += own_rows[r] / static_cast<double>(height);
    } else {
      add_means(in, gradient.data(), numel, 1, 1, 1, own_rows);
    }
    for (int64_t i = 0; i < numel; ++i) {
      const double mean =
          factored ? own_rows[i / width] / row_mean * own_columns[i % width] : own_rows[i];
      update[static_cast<size_t>(i)] = gradient[static_cast<size_t>(i)] / std::sqrt(mean);
    }
    double* own = value.data() + m * numel;
    const double clip = std::max(1.0, root_mean_square(update.data(), numel) / in.clip_threshold);
    const double scale = in.scale_parameter ? std::max(1e-3, root_mean_square(own, numel)) : 1.0;
    for (int64_t i = 0; i < numel; ++i) {
      double change = in.rate * scale / clip * update[static_cast<size_t>(i)];
      double& mean = moment[static_cast<size_t>(m * numel + i)];
      if (in.moment) change = mean = in.momentum * mean + (1 - in.momentum) * change;
      own[i] = own[i] * (1 - in.rate * in.decay) - change;
    }
  }
}

void compare_adafactor(const OptimizerUpdateTable& table, const Shape& shape, bool factored,
                       bool variant, bool with_momentum) {
  AdafactorCase c(shape, factored);
  Doubles value = doubles(c.value), rows = doubles(c.rows), columns = doubles(c.columns),
          moment = doubles(c.moment);
  const Doubles before = value;
  const AdafactorUpdate in = c.arguments(variant, variant, with_momentum);
  naive_adafactor(in, factored, value, rows, columns, moment);
  table.adafactor(&in, 1);
  expect_near(c.value, value, "value");
  expect_near(c.rows, rows, "rows");
  expect_near(c.columns, columns, "columns");
  expect_near(c.moment, moment, "moment");
  if (variant) expect_rounded_copy(c.compute, c.value);
  const int64_t numel = shape.rows * shape.columns;
  for (int64_t m = 0; m < shape.matrices; ++m) {
    const double squares = squares_of_change(c.value, before, m * numel, (m + 1) * numel);
    EXPECT_NEAR(c.change_squares[static_cast<size_t>(m)], squares, 1e-4 * squares) << m;
  }
}

TEST(AdafactorUpdate, EqualsNaiveLoops) {
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(isa_name(isa));
    for (const Shape& shape : {Shape{1, 1, 1}, Shape{1, 1, 37}, Shape{1, 5, 3}, Shape{1, 300, 129},
                               Shape{1, 3, 20000}, Shape{5, 17, 31}, Shape{9, 130, 150}}) {
      for (const bool factored : {true, false}) {
        for (const bool variant : {true, false}) {
          SCOPED_TRACE(::testing::Message() << shape.matrices << " x " << shape.rows << " x "
                                            << shape.columns << (factored ? " factored" : ""));
          for (const bool with_momentum : {true, false}) {
            compare_adafactor(table<OptimizerUpdateTable>(isa), shape, factored, variant,
                              with_momentum);
          }
        }
      }
    }
  }
}

// A matrix whose first row and column had no gradient keeps them, and stays finite.
TEST(AdafactorUpdate, NoGradientNoChange) {
  AdafactorCase c({1, 4, 20}, true);
  c.rows.fill(0.0f);
  c.columns.fill(0.0f);
  for (int64_t i = 0; i < 80; ++i) {
    if (i / 20 == 0 || i % 20 == 0) c.gradient[i] = 0.0f;
  }
  const Doubles before = doubles(c.value);
  AdafactorUpdate in = c.arguments(false, true);
  in.decay = 0;
  in.beta2 = 0;
  table<OptimizerUpdateTable>().adafactor(&in, 1);
  for (int64_t i = 0; i < 80; ++i) {
    ASSERT_TRUE(std::isfinite(c.value[i]));
    const bool touched = i / 20 != 0 && i % 20 != 0;
    ASSERT_EQ(c.value[i] != static_cast<float>(before[static_cast<size_t>(i)]), touched) << i;
  }
}

TEST(OptimizerUpdate, SameBitsForAnyNumberOfThreads) {
  const auto adamw = [](int threads) {
    auto c = std::make_unique<AdamWCase>(50001);
    with_threads(threads, [&] { adamw_update(c->arguments(true)); });
    return c;
  };
  const auto one = adamw(1), three = adamw(3);
  for (int64_t i = 0; i < one->value.size(); ++i) ASSERT_EQ(one->value[i], three->value[i]);
  ASSERT_EQ(one->change_squares, three->change_squares);
  // Whole matrices go to a thread each; one that is large is cut by rows.
  for (const Shape& shape : {Shape{1, 700, 130}, Shape{6, 260, 130}, Shape{1, 4100, 130}}) {
    for (const bool factored : {true, false}) {
      const auto adafactor = [&](int threads) {
        auto c = std::make_unique<AdafactorCase>(shape, factored);
        const AdafactorUpdate in = c->arguments(true, true);
        with_threads(threads, [&] { adafactor_update(&in, 1); });
        return c;
      };
      const auto first = adafactor(1), second = adafactor(4);
      for (int64_t i = 0; i < first->value.size(); ++i) {
        ASSERT_EQ(first->value[i], second->value[i]);
      }
      for (int64_t i = 0; i < first->rows.size(); ++i) ASSERT_EQ(first->rows[i], second->rows[i]);
      ASSERT_EQ(first->change_squares, second->change_squares);
    }
  }
}

TEST(AdafactorUpdate, ParametersTogetherAsOneByOne) {
  const std::vector<Shape> shapes = {{3, 40, 50}, {1, 4100, 130}, {1, 1, 70}, {2, 130, 140}};
  std::vector<std::unique_ptr<AdafactorCase>> together, alone;
  std::vector<AdafactorUpdate> updates;
  for (const Shape& shape : shapes) {
    together.push_back(std::make_unique<AdafactorCase>(shape, true));
    alone.push_back(std::make_unique<AdafactorCase>(shape, true));
    updates.push_back(together.back()->arguments(true, true));
  }
  with_threads(3, [&] {
    adafactor_update(updates.data(), static_cast<int64_t>(updates.size()));
    for (const auto& c : alone) {
      const AdafactorUpdate in = c->arguments(true, true);
      adafactor_update(&in, 1);
    }
  });
  for (size_t u = 0; u < shapes.size(); ++u) {
    for (int64_t i = 0; i < alone[u]->value.size(); ++i) {
      ASSERT_EQ(together[u]->value[i], alone[u]->value[i]) << u;
    }
  }
}

TEST(SumOfSquares, EqualsNaiveLoopForAnyNumberOfThreads) {
  for (const Isa isa : available_isas()) {
    for (const int64_t size : {1, 5, 16, 1023, 60000}) {
      Buffer<float> x(size);
      fill_random(x, 5);
      double expected = 0;
      for (int64_t i = 0; i < size; ++i) expected += static_cast<double>(x[i]) * x[i];
      double found[2];
      for (const int threads : {1, 2}) {
        with_threads(threads, [&] {
          found[threads - 1] = table<OptimizerUpdateTable>(isa).sum_of_squares(x.data(), size);
        });
      }
      EXPECT_NEAR(found[0], expected, 1e-12 * expected);
      EXPECT_EQ(found[0], found[1]);
    }
  }
  Buffer<float> infinite(3);
  infinite.fill(INFINITY);
  EXPECT_TRUE(std::isinf(sum_of_squares(infinite.data(), 3)));
}

}  // namespace
}  // namespace switchyard::kernels
