// Compiled without fused multiply-adds, which would round otherwise than machines without them.
#include "kernels/int8_product.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels/isa_few_rows.h"
#include "kernels/isa_math.h"
#include "kernels/isa_tiles.h"
#include "kernels/isa_vector.h"
#include "kernels/scratch.h"

namespace switchyard::kernels {
namespace {

constexpr int64_t kSerial = 1 << 15;  // elements below which waking threads costs more

template <class T>
void quantize(const QuantizeRows<T>& in) {
  constexpr float kSteps = 127.0f, kNothing = 1e-30f;
  constexpr float kRound = 0x1.8p23f;  // added, leaves the nearest integer in the low bits
  constexpr int32_t kInfinity = 0x7F800000;
  const int64_t width = in.width;
#pragma omp parallel for schedule(static) if (in.rows * width > kSerial)
  for (int64_t r = 0; r < in.rows; ++r) {
    const T* x = in.x + r * width;
    int8_t* y = in.y + r * width;
    // Without their sign, floats are ordered as their bits are, and NaN is above infinity.
    int32_t bits = 0;
#pragma omp simd reduction(max : bits)
    for (int64_t i = 0; i < width; ++i) {
      bits = std::max(bits, std::bit_cast<int32_t>(to_float(x[i])) & 0x7FFFFFFF);
    }
    const auto largest = std::bit_cast<float>(bits);
    const bool usable = bits < kInfinity && largest >= kNothing;
    const float inverse = usable ? kSteps / largest : 0.0f;
    in.scales[r] = bits >= kInfinity ? std::numeric_limits<float>::quiet_NaN()
                                     : (usable ? largest / kSteps : 0.0f);
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      const float shifted = to_float(x[i]) * inverse + kRound;
      y[i] = static_cast<int8_t>(std::bit_cast<int32_t>(shifted));
    }
  }
}

// kOffset: the products of these instructions are of x and weight + kOffset.
#if defined(__AVX512VNNI__)
constexpr int32_t kOffset = 128;
constexpr int64_t kStep = 64;
using Ints = int32_t __attribute__((vector_size(64)));
inline Ints piece(const int8_t* from) {
  Ints bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return bytes;
}
inline Ints piece(const int8_t* from, int64_t count) {
  return reinterpret_cast<Ints>(_mm512_maskz_loadu_epi8((uint64_t{1} << count) - 1, from));
}
/// The instruction takes one factor without a sign.
inline Ints multiply_add(Ints sum, Ints weights, Ints x) {
  const auto raised = reinterpret_cast<__m512i>(weights ^ static_cast<int32_t>(0x80808080));
  return reinterpret_cast<Ints>(
      _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), raised, reinterpret_cast<__m512i>(x)));
}
#elif defined(__AVX2__)
constexpr int32_t kOffset = 0;
constexpr int64_t kStep = 16;
using Ints = int32_t __attribute__((vector_size(32)));
inline Ints piece(const int8_t* from) {
  __m128i bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return reinterpret_cast<Ints>(_mm256_cvtepi8_epi16(bytes));
}
inline Ints piece(const int8_t* from, int64_t count) {
  int8_t bytes[kStep] = {};
  std::memcpy(bytes, from, static_cast<std::size_t>(count));
  return piece(bytes);
}
inline Ints multiply_add(Ints sum, Ints weights, Ints x) {
  return sum + reinterpret_cast<Ints>(_mm256_madd_epi16(reinterpret_cast<__m256i>(weights),
                                                        reinterpret_cast<__m256i>(x)));
}
#else
constexpr int32_t kOffset = 0;
#endif

#if defined(__AVX2__)
constexpr int kInts = sizeof(Ints) / sizeof(int32_t);

/// In each quarter of four lanes: a's and b's alternating, the sum of each one's two halves.
template <int... kLane>
inline Ints fold_two(Ints a, Ints b, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(a, b, ((kLane & 1) * kInts + (kLane & ~3) + (kLane & 3) / 2)...) +
         __builtin_shufflevector(a, b,
                                 ((kLane & 1) * kInts + (kLane & ~3) + (kLane & 3) / 2 + 2)...);
}
/// In each quarter: two lanes of a, two of b, from sums of halves.
template <int... kLane>
inline Ints fold_four(Ints a, Ints b, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(a, b, ((kLane & 2) / 2 * kInts + (kLane & ~3) + (kLane & 1))...) +
         __builtin_shufflevector(a, b,
                                 ((kLane & 2) / 2 * kInts + (kLane & ~3) + (kLane & 1) + 2)...);
}
/// The sum over the lanes of each of four vectors `stride` apart.
inline void store_four(const Ints* sums, int64_t stride, int32_t* to) {
  constexpr std::make_integer_sequence<int, kInts> lanes;
  const Ints quarters = fold_four(fold_two(sums[0], sums[stride], lanes),
                                  fold_two(sums[2 * stride], sums[3 * stride], lanes), lanes);
  for (int i = 0; i < 4; ++i) {
    uint32_t sum = 0;  // it may wrap around
    for (int lane = i; lane < kInts; lane += 4) sum += static_cast<uint32_t>(quarters[lane]);
    to[i] = static_cast<int32_t>(sum);
  }
}
inline int32_t total_of(Ints sum) {
  uint32_t total = 0;
  for (int lane = 0; lane < kInts; ++lane) total += static_cast<uint32_t>(sum[lane]);
  return static_cast<int32_t>(total);
}
#endif

#if defined(__AVX2__)
template <int kOutputs, int kRows>
inline void dot_block(const int8_t* weights, const int8_t* x, int64_t depth, int32_t* sums) {
  Ints sum[kOutputs][kRows] = {};
  const auto add = [&](const auto& load) {
    Ints w[kOutputs];
    for (int o = 0; o < kOutputs; ++o) w[o] = load(weights + o * depth);
    for (int r = 0; r < kRows; ++r) {
      const Ints own = load(x + r * depth);
      for (int o = 0; o < kOutputs; ++o) sum[o][r] = multiply_add(sum[o][r], w[o], own);
    }
  };
  int64_t d = 0;
  for (; d + kStep <= depth; d += kStep) add([d](const int8_t* from) { return piece(from + d); });
  if (d < depth) add([=](const int8_t* from) { return piece(from + d, depth - d); });
  for (int r = 0; r < kRows; ++r) {
    if constexpr (kOutputs == 4) {
      store_four(&sum[0][r], kRows, sums + r * kPanel);
    } else {
      sums[r * kPanel] = total_of(sum[0][r]);
    }
  }
}
#else
template <int kOutputs, int kRows>
inline void dot_block(const int8_t* weights, const int8_t* x, int64_t depth, int32_t* sums) {
  for (int r = 0; r < kRows; ++r) {
    for (int o = 0; o < kOutputs; ++o) {
      int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t d = 0; d < depth; ++d) {
        sum += static_cast<int32_t>(weights[o * depth + d]) * x[r * depth + d];
      }
      sums[r * kPanel + o] = sum;
    }
  }
}
#endif

template <int kOutputs>
inline void dot_rows(const int8_t* weights, const int8_t* x, int64_t rows, int64_t depth,
                     int32_t* sums) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    dot_block<kOutputs, 4>(weights, x + r * depth, depth, sums + r * kPanel);
  }
  for (; r < rows; ++r) {
    dot_block<kOutputs, 1>(weights, x + r * depth, depth, sums + r * kPanel);
  }
}

/// Dot products along the depth.
class DotProducts {
 public:
  static int64_t most_rows(const Int8Product& in) { return in.rows; }
  DotProducts(const Int8Product& in, int64_t first, int64_t rows)
      : in_(in), first_(first), end_(first + rows) {
    if (kOffset == 0) return;
    excess_ = static_cast<int32_t*>(
        scratch_bytes(0, static_cast<std::size_t>(in.rows) * sizeof(int32_t)));
    for (int64_t r = 0; r < in.rows; ++r) {
      int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t d = 0; d < in.depth; ++d) sum += in.x[r * in.depth + d];
      excess_[r] = kOffset * sum;
    }
  }

  template <class Finish>
  void run(const Panel& panel, bool /*more*/, const Finish& finish) const {
    alignas(64) int32_t sums[kRowBlock * kPanel];
    for (int64_t row = first_; row < end_; row += kRowBlock) {
      const int64_t rows = std::min(kRowBlock, end_ - row);
      multiply(panel, row, rows, sums);
      finish.sums(panel, row, rows, sums);
    }
  }

 private:
  void multiply(const Panel& panel, int64_t first_row, int64_t rows, int32_t* sums) const {
    const int64_t depth = in_.depth;
    const int8_t* x = in_.x + first_row * depth;
    const int8_t* weights = in_.weights + panel.first * depth;
    int64_t o = 0;
    for (; o + 4 <= panel.outputs; o += 4) {
      dot_rows<4>(weights + o * depth, x, rows, depth, sums + o);
    }
    for (; o < panel.outputs; ++o) dot_rows<1>(weights + o * depth, x, rows, depth, sums + o);
    if (kOffset == 0) return;
    for (int64_t r = 0; r < rows; ++r) {
      remove_excess(excess_[first_row + r], panel.outputs, sums + r * kPanel);
    }
  }

  /// Sums may have wrapped around; they come back.
  static void remove_excess(int32_t excess, int64_t outputs, int32_t* sums) {
#pragma omp simd
    for (int64_t o = 0; o < outputs; ++o) {
      sums[o] =
          static_cast<int32_t>(static_cast<uint32_t>(sums[o]) - static_cast<uint32_t>(excess));
    }
  }

  const Int8Product& in_;
  int64_t first_, end_;        // rows
  int32_t* excess_ = nullptr;  // [rows of the product]
};

#if defined(__AMX_INT8__) || defined(__AMXINT8__)  // GCC, Clang 14
using ExactSums = TileProducts<Int8Product>;
#else
using ExactSums = DotProducts;
#endif

/// Exact sums as float, times the scales.
template <class Next>
class Scale {
 public:
  Scale(const Int8Product& in, const Next& next) : in_(in), next_(next) {}

  void sums(const Panel& panel, int64_t first_row, int64_t rows, const int32_t* exact) const {
    alignas(64) Sums scaled;
    const float* scales = in_.scales + panel.first;
    for (int64_t r = 0; r < rows; ++r) {
      const float row_scale = in_.x_scales[first_row + r];
      const int32_t* from = exact + r * kPanel;
      float* to = scaled + r * kPanel;
#pragma omp simd
      for (int64_t o = 0; o < panel.outputs; ++o) {
        to[o] = static_cast<float>(from[o]) * (row_scale * scales[o]);
      }
    }
    next_.sums(panel, first_row, rows, scaled);
  }

#if defined(__AMX_INT8__) || defined(__AMXINT8__)  // GCC, Clang 14
  /// Overwrites them.
  void vectors(int64_t output, int64_t first_row, int64_t rows, Vector* exact) const {
    const Vector scales = load(in_.scales + output);
    for (int64_t r = 0; r < rows; ++r) {
      const Vector own = __builtin_convertvector(reinterpret_cast<Ints>(exact[r]), Vector);
      exact[r] = own * (in_.x_scales[first_row + r] * scales);
    }
    next_.vectors(output, first_row, rows, exact);
  }
#endif

 private:
  const Int8Product& in_;
  const Next& next_;
};

class Int8Multiplier {
 public:
  static int64_t most_rows(const Int8Product& in) { return ExactSums::most_rows(in); }
  Int8Multiplier(const Int8Product& in, int64_t first, int64_t rows)
      : in_(in), sums_(in, first, rows) {}

  template <class Finish>
  void run(const Panel& panel, bool more, const Finish& finish) {
    sums_.run(panel, more, Scale<Finish>(in_, finish));
  }

 private:
  const Int8Product& in_;
  ExactSums sums_;
};

void products(const Int8Product* list, int64_t count) {
  few_row_products_by<Int8Multiplier>(list, count);
}

}  // namespace

template <>
const Int8ProductTable& table_of<Int8ProductTable, kCompiledIsa>() {
  static constexpr Int8ProductTable kTable = {quantize<float>, quantize<Bf16>, products};
  return kTable;
}

}  // namespace switchyard::kernels
