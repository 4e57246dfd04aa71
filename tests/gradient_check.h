// Finite differences in float64 against the gradients that ops and layers compute.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "ops/parameter.h"

namespace switchyard::testing {

/// Deterministic standard normal values.
inline at::Tensor random_tensor(at::IntArrayRef shape, uint64_t seed,
                                at::ScalarType type = at::kDouble) {
  at::Tensor t = at::empty(shape, at::kDouble);
  const RandomStream stream(seed, kRandomTest);
  double* out = t.mutable_data_ptr<double>();
  for (int64_t i = 0; i < t.numel(); ++i) out[i] = stream.normal(static_cast<uint64_t>(i));
  return t.to(type);
}

/// A float64 parameter with normal values times `scale`.
inline Parameter random_parameter(const std::string& name, at::IntArrayRef shape, uint64_t seed,
                                  double scale = 1.0, int64_t num_matrices = 0) {
  return Parameter(name, random_tensor(shape, seed) * scale, {}, num_matrices);
}

/// Compares `gradient` of the scalar loss() with respect to `values` (float64, changed in place and
/// restored) with central differences, at up to `samples` elements spread over the tensor.
inline void expect_gradient(const std::string& name, at::Tensor values, const at::Tensor& gradient,
                            const std::function<double()>& loss, int64_t samples = 24,
                            double step = 1e-5, double tolerance = 1e-6) {
  ASSERT_TRUE(gradient.defined()) << name << " got no gradient";
  ASSERT_EQ(gradient.sizes(), values.sizes()) << name;
  const at::Tensor flat = values.detach().view(-1);
  const at::Tensor analytic = gradient.to(at::kDouble).reshape(-1);
  double* x = flat.mutable_data_ptr<double>();
  const int64_t n = flat.numel();
  const int64_t stride = std::max<int64_t>(1, n / samples);
  const double scale = std::max(1.0, analytic.abs().max().item<double>());
  for (int64_t i = 0; i < n; i += stride) {
    const double before = x[i];
    x[i] = before + step;
    const double above = loss();
    x[i] = before - step;
    const double below = loss();
    x[i] = before;
    const double numeric = (above - below) / (2 * step);
    EXPECT_NEAR(analytic[i].item<double>(), numeric, tolerance * scale) << name << " element " << i;
  }
}

}  // namespace switchyard::testing
