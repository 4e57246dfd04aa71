// The factors against RandomStream's own numbers, for every instruction set, odd widths and
// addresses.
#include "kernels/jitter.h"

#include "base/random.h"
#include "kernels/test_data.h"

namespace switchyard::kernels {
namespace {

using testing::Buffer;
using testing::fill_random;
using testing::tolerance;

template <class T>
auto function_of(Isa isa) {
  if constexpr (std::is_same_v<T, float>) {
    return table<JitterTable>(isa).f32;
  } else {
    return table<JitterTable>(isa).bf16;
  }
}

template <class T>
void compare(Isa isa, int64_t rows, int64_t width, int64_t first_row) {
  const RandomStream stream(3, kRandomTest, 5, 7);
  Buffer<T> x(rows * width), y(rows * width);
  fill_random(x, 1);
  function_of<T>(isa)({x.data(),
                       rows,
                       width,
                       first_row,
                       stream.key(),
                       {stream.high()[0], stream.high()[1]},
                       0.875f,
                       0.25f,
                       y.data()});
  const int64_t draws = (width + 3) / 4;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < width; ++i) {
      const auto draw = static_cast<uint64_t>((first_row + r) * draws + i / 4);
      const double u = to_unit_float(stream.draw(draw)[static_cast<size_t>(i % 4)]);
      const double expected = static_cast<double>(to_float(x[r * width + i])) * (0.875 + 0.25 * u);
      ASSERT_NEAR(to_float(y[r * width + i]), expected, tolerance<T>(expected, 3e-7))
          << r << ' ' << i;
    }
  }
}

TEST(Jitter, DrawsTheNumbersOfTheStream) {
  // Beyond 2^32 draws too: the counter's upper word must carry.
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(isa_name(isa));
    for (const int64_t width : {1, 3, 64, 127, 130, 700}) {
      for (const int64_t first_row : {int64_t{0}, int64_t{12345}, (int64_t{1} << 32) - 2}) {
        compare<float>(isa, 3, width, first_row);
        compare<Bf16>(isa, 3, width, first_row);
      }
    }
  }
}

}  // namespace
}  // namespace switchyard::kernels
