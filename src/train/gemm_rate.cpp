#include "train/gemm_rate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <functional>

#include "base/clock.h"
#include "ops/layer_products.h"

namespace switchyard {
namespace {

constexpr int kLeastPasses = 5;

/// LibTorch's product and, where it is another, ours, taking turns.
double best_rate(int64_t size, at::ScalarType type, double seconds) {
  const at::Tensor a = at::full({size, size}, 0.5, type), b = at::full({size, size}, 0.25, type);
  at::Tensor product = at::empty({size, size}, type);
  const std::array<std::function<void()>, 2> products = {
      [&] { at::mm_out(product, a, b); },
      [&] {
        ops::layer_forward(a, {0, size}, b, false, product);
      }};
  const size_t kinds = type == at::kBFloat16 ? products.size() : 1;
  // Makes the library's plan and touches the pages.
  for (size_t i = 0; i < kinds; ++i) products[i]();
  const double flops =
      2.0 * static_cast<double>(size) * static_cast<double>(size) * static_cast<double>(size);
  double best = 0;
  const Clock::time_point start = Clock::now();
  // Several passes however slow they are: where other work runs, one alone says little.
  for (int pass = 0; pass < kLeastPasses || seconds_since(start) < seconds; ++pass) {
    for (size_t i = 0; i < kinds; ++i) {
      const Clock::time_point begin = Clock::now();
      products[i]();
      best = std::max(best, flops / seconds_since(begin));
    }
  }
  return best;
}

}  // namespace

double measure_gemm_rate(Precision precision, double seconds) {
  const c10::NoGradGuard no_grad;
  const bool wide = precision == Precision::kFloat32 || precision == Precision::kFloat64;
  const at::ScalarType type = wide ? at::kFloat : at::kBFloat16;
  const double rough = best_rate(256, type, 0.0);
  const int64_t size = rough * seconds > 4 * 2.0 * 2048 * 2048 * 2048 ? 2048 : 512;
  return best_rate(size, type, seconds);
}

}  // namespace switchyard
