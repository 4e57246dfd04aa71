// Products with weights of 8 bits against plain loops, to the bit: all instruction sets, odd sizes,
// odd addresses, finishes, several products in one call; and the quantization of rows.
#include "kernels/int8_product.h"

#include <cstring>
#include <limits>

#include "kernels/scratch.h"
#include "kernels/test_data.h"

namespace switchyard::kernels {
namespace {

using testing::Buffer;
using testing::fill_random;
using testing::with_threads;

void run(Isa isa, const Int8Product* products, int64_t count) {
  // What a kernel finds in its working memory must not matter.
  constexpr std::size_t kBytes = 1 << 20;
  for (int slot = 0; slot < 3; ++slot) std::memset(scratch_bytes(slot, kBytes), 0xFF, kBytes);
  table<Int8ProductTable>(isa).products(products, count);
}

void fill_bytes(Buffer<int8_t>& buffer, uint32_t seed, int lowest) {
  std::mt19937 engine(seed);
  std::uniform_int_distribution<int> bytes(lowest, 127);
  for (int64_t i = 0; i < buffer.size(); ++i) buffer[i] = static_cast<int8_t>(bytes(engine));
}

struct Case {
  Case(int64_t num_outputs, int64_t num_inputs, int64_t num_rows, uint32_t seed)
      : outputs(num_outputs),
        depth(num_inputs),
        rows(num_rows),
        weights(outputs * depth, outputs % 2 == 1),
        x(rows * depth, outputs % 2 == 1),
        scales(outputs),
        x_scales(rows),
        wide(rows * (outputs + 3)),
        narrow(rows * (outputs + 3)) {
    fill_bytes(weights, seed, -128);
    fill_bytes(x, seed + 1, -127);
    fill_random(scales, seed + 2, 1e-2f);
    fill_random(x_scales, seed + 3, 1e-2f);
    fill_random(wide, seed + 4);
  }
  Int8Product product(FewRowFinish finish) {
    return {weights.data(),  scales.data(), outputs,    depth,   x.data(),
            x_scales.data(), rows,          finish,     nullptr, nullptr,
            wide.data(),     narrow.data(), outputs + 3};
  }
  float sum(int64_t row, int64_t output) const {
    int64_t total = 0;
    for (int64_t d = 0; d < depth; ++d) {
      total += int64_t{weights[output * depth + d]} * x[row * depth + d];
    }
    const float scale = x_scales[row] * scales[output];
    return static_cast<float>(total) * scale;
  }
  int64_t outputs, depth, rows;
  Buffer<int8_t> weights, x;
  Buffer<float> scales, x_scales, wide;
  Buffer<Bf16> narrow;
};

void expect_plain_loops(Isa isa, Case& c) {
  SCOPED_TRACE(std::string(isa_name(isa)) + " " + std::to_string(c.outputs) + " " +
               std::to_string(c.depth) + " " + std::to_string(c.rows));
  auto product = c.product(FewRowFinish::kStore);
  run(isa, &product, 1);
  product = c.product(FewRowFinish::kRelu);
  run(isa, &product, 1);
  for (int64_t r = 0; r < c.rows; ++r) {
    for (int64_t o = 0; o < c.outputs; ++o) {
      const float expected = c.sum(r, o);
      const int64_t at = r * product.y_stride + o;
      ASSERT_EQ(c.wide[at], expected) << r << ' ' << o;
      ASSERT_EQ(c.narrow[at].bits, to_bf16(std::max(0.0f, expected)).bits) << r << ' ' << o;
    }
  }
}

TEST(Int8Product, MatchesPlainLoopsToTheBit) {
  const int64_t shapes[][3] = {{1, 1, 1},     {3, 7, 2},     {16, 32, 1},    {64, 64, 1},
                               {65, 33, 5},   {130, 96, 4},  {200, 192, 16}, {48, 320, 17},
                               {77, 63, 3},   {64, 128, 40}, {129, 65, 6},   {128, 64, 33},
                               {112, 128, 64}};
  for (const Isa isa : available_isas()) {
    for (const auto& [outputs, depth, rows] : shapes) {
      Case c(outputs, depth, rows, 1);
      expect_plain_loops(isa, c);
    }
  }
}

/// So many deep rows that they are multiplied in several parts.
TEST(Int8Product, ManyRowsMatchPlainLoops) {
  for (const Isa isa : available_isas()) {
    Case c(70, 8192, 210, 1);
    expect_plain_loops(isa, c);
  }
}

TEST(Int8Product, TheDeepestProductDoesNotOverflow) {
  for (const Isa isa : available_isas()) {
    for (const int64_t rows : {1, 6}) {
      Case c(64, kMaxInt8Depth, rows, 3);
      c.weights.fill(-128);
      c.x.fill(127);
      expect_plain_loops(isa, c);
      c.x.fill(-127);
      expect_plain_loops(isa, c);
    }
  }
}

TEST(Int8Product, AddsRowsTimesFactorsAtTheirPlaces) {
  for (const Isa isa : available_isas()) {
    Case c(70, 64, 3, 5);
    Buffer<float> before(c.wide.size());
    std::copy_n(c.wide.data(), c.wide.size(), before.data());
    const float factors[] = {0.5f, -2.3f, 0.0f};
    const int64_t places[] = {2, 0, 1};
    auto product = c.product(FewRowFinish::kAdd);
    product.factors = factors;
    product.places = places;
    run(isa, &product, 1);
    for (int64_t r = 0; r < 3; ++r) {
      for (int64_t o = 0; o < 73; ++o) {
        const int64_t at = places[r] * 73 + o;
        volatile float added = o < 70 ? factors[r] * c.sum(r, o) : 0.0f;  // rounded by itself
        ASSERT_EQ(c.wide[at], before[at] + added) << isa_name(isa) << r << ' ' << o;
      }
    }
  }
}

TEST(Int8Product, ThreadsAndOtherProductsChangeNothing) {
  for (const Isa isa : available_isas()) {
    for (const int threads : {1, 2, 3}) {
      Case c(150, 96, 21, 9), other(33, 64, 2, 4);
      const Int8Product both[] = {other.product(FewRowFinish::kStore),
                                  c.product(FewRowFinish::kStore)};
      with_threads(threads, [&] { run(isa, both, 2); });
      for (int64_t r = 0; r < c.rows; ++r) {
        for (int64_t o = 0; o < c.outputs; ++o) {
          ASSERT_EQ(c.wide[r * (c.outputs + 3) + o], c.sum(r, o)) << isa_name(isa) << threads;
        }
      }
    }
  }
}

TEST(Int8Product, AScaleThatIsNotANumberShows) {
  for (const Isa isa : available_isas()) {
    Case c(70, 64, 2, 5);
    c.x_scales[1] = std::nanf("");
    const auto product = c.product(FewRowFinish::kRelu);
    run(isa, &product, 1);
    EXPECT_FALSE(std::isnan(to_float(c.narrow[66]))) << isa_name(isa);
    EXPECT_TRUE(std::isnan(to_float(c.narrow[73 + 66]))) << isa_name(isa);
  }
}

TEST(Int8Product, NoRowsNoOutputs) {
  for (const Isa isa : available_isas()) {
    Case no_rows(5, 8, 0, 1), no_outputs(0, 8, 2, 1);
    const Int8Product both[] = {no_rows.product(FewRowFinish::kStore),
                                no_outputs.product(FewRowFinish::kStore)};
    run(isa, both, 2);
  }
}

template <class T>
void quantize(Isa isa, const QuantizeRows<T>& rows) {
  if constexpr (std::is_same_v<T, float>) {
    table<Int8ProductTable>(isa).quantize_f32(rows);
  } else {
    table<Int8ProductTable>(isa).quantize_bf16(rows);
  }
}

template <class T>
void expect_nearest(Isa isa, int64_t rows, int64_t width) {
  Buffer<T> x(rows * width);
  Buffer<int8_t> y(rows * width);
  Buffer<float> scales(rows);
  fill_random(x, 7, 3.0f);
  quantize(isa, QuantizeRows<T>{x.data(), rows, width, y.data(), scales.data()});
  for (int64_t r = 0; r < rows; ++r) {
    float largest = 0;
    for (int64_t i = 0; i < width; ++i) {
      largest = std::max(largest, std::abs(to_float(x[r * width + i])));
    }
    ASSERT_EQ(scales[r], largest / 127.0f);
    const float inverse = 127.0f / largest;
    for (int64_t i = 0; i < width; ++i) {
      volatile float steps = to_float(x[r * width + i]) * inverse;
      ASSERT_EQ(y[r * width + i], std::nearbyint(steps)) << isa_name(isa) << r << ' ' << i;
    }
  }
}

TEST(QuantizeRows, TakesTheNearestIntegerOnEveryInstructionSet) {
  for (const Isa isa : available_isas()) {
    for (const int64_t width : {1, 3, 16, 31, 768}) {
      expect_nearest<float>(isa, 3, width);
      expect_nearest<Bf16>(isa, 3, width);
    }
    expect_nearest<Bf16>(isa, 40, 1000);
  }
}

TEST(QuantizeRows, RowsOfZerosAndRowsThatAreNotFinite) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const Isa isa : available_isas()) {
    Buffer<float> x(5 * 20);
    x.fill(0.0f);
    x[1 * 20 + 3] = 1e-38f;  // all but nothing
    x[2 * 20 + 19] = kInfinity;
    x[3 * 20] = std::nanf("");
    x[4 * 20 + 7] = -3.0f;
    Buffer<int8_t> y(5 * 20);
    Buffer<float> scales(5);
    quantize(isa, QuantizeRows<float>{x.data(), 5, 20, y.data(), scales.data()});
    EXPECT_EQ(scales[0], 0.0f);
    EXPECT_EQ(scales[1], 0.0f);
    for (int64_t i = 0; i < 40; ++i) ASSERT_EQ(y[i], 0);
    EXPECT_TRUE(std::isnan(scales[2])) << isa_name(isa);
    EXPECT_TRUE(std::isnan(scales[3])) << isa_name(isa);
    EXPECT_EQ(y[4 * 20 + 7], -127);
  }
}

}  // namespace
}  // namespace switchyard::kernels
