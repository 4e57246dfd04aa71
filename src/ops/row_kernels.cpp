#include "ops/row_kernels.h"

#include <bit>

namespace switchyard::rows {
namespace {

// bfloat16 as bits, so that loops turn into integer vector code.
inline float widen(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Round to nearest even. A NaN's payload may round away into infinity only if it sits in the lowest
// bits; the canonical NaNs that arithmetic makes stay NaN.
inline uint16_t narrow(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

const uint16_t* bits_of(const c10::BFloat16* p) { return reinterpret_cast<const uint16_t*>(p); }
uint16_t* bits_of(c10::BFloat16* p) { return reinterpret_cast<uint16_t*>(p); }

template <class T>
void scatter_plain(const T* y, const T* gate, const int64_t* index, int64_t count, int64_t width,
                   T* out) {
  for (int64_t r = 0; r < count; ++r) {
    T* to = out + index[r] * width;
    for (int64_t i = 0; i < width; ++i) to[i] = y[r * width + i] * gate[r];
  }
}

template <class T>
void gather_plain(const T* upstream, const T* y, const T* gate, const int64_t* index, int64_t count,
                  int64_t width, T* scaled, T* dot) {
  for (int64_t r = 0; r < count; ++r) {
    const T* u = upstream + index[r] * width;
    T sum = 0;
    for (int64_t i = 0; i < width; ++i) {
      scaled[r * width + i] = u[i] * gate[r];
      sum += u[i] * y[r * width + i];
    }
    dot[r] = sum;
  }
}

#define SWITCHYARD_CLONES \
  __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))

SWITCHYARD_CLONES void scatter_bits(const uint16_t* y, const float* gate, const int64_t* index,
                                    int64_t count, int64_t width, uint16_t* out) {
  for (int64_t r = 0; r < count; ++r) {
    uint16_t* to = out + index[r] * width;
    const uint16_t* from = y + r * width;
    const float g = gate[r];
    for (int64_t i = 0; i < width; ++i) to[i] = narrow(widen(from[i]) * g);
  }
}

SWITCHYARD_CLONES void gather_bits(const uint16_t* upstream, const uint16_t* y, const float* gate,
                                   const int64_t* index, int64_t count, int64_t width,
                                   uint16_t* scaled, float* dot) {
  for (int64_t r = 0; r < count; ++r) {
    const uint16_t* u = upstream + index[r] * width;
    const uint16_t* own = y + r * width;
    uint16_t* to = scaled + r * width;
    const float g = gate[r];
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; ++i) {
      const float wide = widen(u[i]);
      to[i] = narrow(wide * g);
      sum += wide * widen(own[i]);
    }
    dot[r] = sum;
  }
}

#undef SWITCHYARD_CLONES

}  // namespace

void scatter_scaled(const float* y, const float* gate, const int64_t* index, int64_t count,
                    int64_t width, float* out) {
  scatter_plain(y, gate, index, count, width, out);
}
void scatter_scaled(const double* y, const double* gate, const int64_t* index, int64_t count,
                    int64_t width, double* out) {
  scatter_plain(y, gate, index, count, width, out);
}
void scatter_scaled(const c10::BFloat16* y, const float* gate, const int64_t* index, int64_t count,
                    int64_t width, c10::BFloat16* out) {
  scatter_bits(bits_of(y), gate, index, count, width, bits_of(out));
}

void gather_scaled(const float* upstream, const float* y, const float* gate, const int64_t* index,
                   int64_t count, int64_t width, float* scaled, float* dot) {
  gather_plain(upstream, y, gate, index, count, width, scaled, dot);
}
void gather_scaled(const double* upstream, const double* y, const double* gate,
                   const int64_t* index, int64_t count, int64_t width, double* scaled,
                   double* dot) {
  gather_plain(upstream, y, gate, index, count, width, scaled, dot);
}
void gather_scaled(const c10::BFloat16* upstream, const c10::BFloat16* y, const float* gate,
                   const int64_t* index, int64_t count, int64_t width, c10::BFloat16* scaled,
                   float* dot) {
  gather_bits(bits_of(upstream), bits_of(y), gate, index, count, width, bits_of(scaled), dot);
}

}  // namespace switchyard::rows
