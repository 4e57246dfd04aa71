// Products of few rows against plain loops in double: all instruction sets, odd sizes, odd
// addresses, finishes, several products in one call.
#include "kernels/few_row_product.h"

#include <cstring>
#include <numeric>

#include "kernels/scratch.h"
#include "kernels/test_data.h"

namespace switchyard::kernels {
namespace {

using testing::Buffer;
using testing::fill_random;
using testing::tolerance;
using testing::with_threads;

template <class T>
void run(Isa isa, const FewRowProduct<T>* products, int64_t count) {
  // What a kernel finds in its working memory must not matter.
  constexpr std::size_t kBytes = 1 << 20;
  for (int slot = 0; slot < 3; ++slot) std::memset(scratch_bytes(slot, kBytes), 0xFF, kBytes);
  if constexpr (std::is_same_v<T, float>) {
    table<FewRowTable>(isa).products_f32(products, count);
  } else {
    table<FewRowTable>(isa).products_bf16(products, count);
  }
}

template <class T>
struct Case {
  Case(int64_t num_outputs, int64_t num_inputs, int64_t num_rows, uint32_t seed,
       bool misaligned = true)
      : outputs(num_outputs),
        depth(num_inputs),
        rows(num_rows),
        weights(outputs * depth, misaligned),
        x(rows * depth, misaligned),
        wide(rows * (outputs + 3)),
        narrow(rows * (outputs + 3)) {
    fill_random(weights, seed, 0.3f);
    fill_random(x, seed + 1);
    fill_random(wide, seed + 2);
  }
  FewRowProduct<T> product(FewRowFinish finish) {
    return {weights.data(), outputs, depth,       x.data(),      rows,       finish,
            nullptr,        nullptr, wide.data(), narrow.data(), outputs + 3};
  }
  double sum(int64_t row, int64_t output) const {
    double total = 0;
    for (int64_t d = 0; d < depth; ++d) {
      total += static_cast<double>(to_float(weights[output * depth + d])) *
               static_cast<double>(to_float(x[row * depth + d]));
    }
    return total;
  }
  int64_t outputs, depth, rows;
  Buffer<T> weights, x;
  Buffer<float> wide;
  Buffer<T> narrow;
};

constexpr double kError = 2e-4;

template <class T>
void compare(Isa isa, int64_t outputs, int64_t depth, int64_t rows) {
  SCOPED_TRACE(std::string(isa_name(isa)) + " " + std::to_string(outputs) + " " +
               std::to_string(depth) + " " + std::to_string(rows));
  Case<T> c(outputs, depth, rows, 1, outputs % 2 == 1);
  auto product = c.product(FewRowFinish::kStore);
  run(isa, &product, 1);
  product = c.product(FewRowFinish::kRelu);
  run(isa, &product, 1);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      const double expected = c.sum(r, o), positive = std::max(0.0, expected);
      const int64_t at = r * product.y_stride + o;
      ASSERT_NEAR(c.wide[at], expected, kError) << r << ' ' << o;
      ASSERT_NEAR(to_float(c.narrow[at]), positive, tolerance<T>(positive, kError));
    }
  }
}

TEST(FewRowProduct, MatchesPlainLoops) {
  const int64_t shapes[][3] = {{1, 1, 1},   {3, 7, 2},     {16, 32, 1},    {64, 64, 1},
                               {65, 33, 5}, {130, 96, 4},  {200, 160, 16}, {48, 320, 17},
                               {77, 31, 3}, {64, 128, 40}, {128, 64, 65},  {112, 96, 64}};
  for (const Isa isa : available_isas()) {
    for (const auto& [outputs, depth, rows] : shapes) {
      compare<float>(isa, outputs, depth, rows);
      compare<Bf16>(isa, outputs, depth, rows);
    }
  }
}

TEST(FewRowProduct, AddsRowsTimesFactorsAtTheirPlaces) {
  for (const Isa isa : available_isas()) {
    Case<Bf16> c(70, 64, 3, 5);
    Buffer<float> before(c.wide.size());
    std::copy_n(c.wide.data(), c.wide.size(), before.data());
    const float factors[] = {0.5f, -2.0f, 0.0f};
    const int64_t places[] = {2, 0, 1};
    auto product = c.product(FewRowFinish::kAdd);
    product.factors = factors;
    product.places = places;
    run(isa, &product, 1);
    for (int64_t r = 0; r < 3; ++r) {
      for (int64_t o = 0; o < 73; ++o) {
        const int64_t at = places[r] * 73 + o;
        const double expected = before[at] + (o < 70 ? factors[r] * c.sum(r, o) : 0.0);
        ASSERT_NEAR(c.wide[at], expected, kError) << isa_name(isa);
      }
    }
  }
}

template <class T>
void expect_same_bits(Isa isa) {
  constexpr int64_t kOutputs = 150, kDepth = 96, kRows = 21;
  Case<T> many(kOutputs, kDepth, kRows, 9), other(33, 64, 2, 4);
  const FewRowProduct<T> both[] = {other.product(FewRowFinish::kStore),
                                   many.product(FewRowFinish::kStore)};
  with_threads(1, [&] { run(isa, both, 2); });
  for (const int threads : {1, 2, 3}) {
    for (int64_t r = 0; r < kRows; ++r) {
      Case<T> one(kOutputs, kDepth, 1, 9);
      std::copy_n(many.x.data() + r * kDepth, kDepth, one.x.data());
      const auto product = one.product(FewRowFinish::kStore);
      with_threads(threads, [&] { run(isa, &product, 1); });
      for (int64_t o = 0; o < kOutputs; ++o) {
        ASSERT_EQ(one.wide[o], many.wide[r * (kOutputs + 3) + o]) << isa_name(isa) << r << ' ' << o;
      }
    }
  }
}

TEST(FewRowProduct, RowsDependOnNothingElse) {
  for (const Isa isa : available_isas()) {
    expect_same_bits<float>(isa);
    expect_same_bits<Bf16>(isa);
  }
}

/// So many deep rows that they are multiplied in several parts.
TEST(FewRowProduct, ManyRowsGiveWhatEachGivesAlone) {
  constexpr int64_t kOutputs = 70, kDepth = 4096, kRows = 210;
  for (const Isa isa : available_isas()) {
    Case<Bf16> many(kOutputs, kDepth, kRows, 9, false);
    auto product = many.product(FewRowFinish::kStore);
    run(isa, &product, 1);
    for (const int64_t r : {0, 15, 16, 31, 32, 191, 192, 207, 208, 209}) {
      Case<Bf16> one(kOutputs, kDepth, 1, 9, false);
      std::copy_n(many.x.data() + r * kDepth, kDepth, one.x.data());
      product = one.product(FewRowFinish::kStore);
      run(isa, &product, 1);
      for (int64_t o = 0; o < kOutputs; ++o) {
        ASSERT_EQ(one.wide[o], many.wide[r * (kOutputs + 3) + o]) << isa_name(isa) << r << ' ' << o;
      }
    }
  }
}

TEST(FewRowProduct, ReluKeepsNan) {
  for (const Isa isa : available_isas()) {
    Case<Bf16> c(70, 64, 2, 5);
    store(&c.weights[66 * 64 + 3], std::nanf(""));
    const auto product = c.product(FewRowFinish::kRelu);
    run(isa, &product, 1);
    EXPECT_TRUE(std::isnan(to_float(c.narrow[66]))) << isa_name(isa);
    EXPECT_FALSE(std::isnan(to_float(c.narrow[65]))) << isa_name(isa);
  }
}

TEST(FewRowProduct, NoRowsNoOutputs) {
  for (const Isa isa : available_isas()) {
    Case<Bf16> no_rows(5, 8, 0, 1), no_outputs(0, 8, 2, 1);
    const FewRowProduct<Bf16> both[] = {no_rows.product(FewRowFinish::kStore),
                                        no_outputs.product(FewRowFinish::kStore)};
    run(isa, both, 2);
  }
}

}  // namespace
}  // namespace switchyard::kernels
