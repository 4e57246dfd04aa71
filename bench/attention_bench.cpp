// Attention's forward and forward + backward in bfloat16: the fused kernel, the plain reference,
// and LibTorch's scaled_dot_product_attention with T5's bias as an additive mask. Arguments: B, H,
// S, T, K as in ops/ops.h. GFLOP (per second) counts 4 B H S T K forward, 2.5 times that backward
// (five products instead of two).
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>

#include "ops/ops.h"
#include "ops/reference.h"

namespace switchyard {
namespace {

struct Inputs {
  explicit Inputs(const benchmark::State& state)
      : b(state.range(0)),
        h(state.range(1)),
        s(state.range(2)),
        t(state.range(3)),
        k(state.range(4)),
        query(values({b, s, h, k}, at::kBFloat16)),
        key(values({b, t, h, k}, at::kBFloat16)),
        value(values({b, t, h, k}, at::kBFloat16)),
        bias(values({h, s + t - 1}, at::kFloat)),
        upstream(at::randn({b, s, h, k}).to(at::kBFloat16)) {}

  static at::Tensor values(at::IntArrayRef shape, at::ScalarType type) {
    return (at::randn(shape) * 0.4).to(type).set_requires_grad(true);
  }
  ops::AttentionInput arguments() const { return {query, key, value, bias, false, {}, {}}; }

  int64_t b, h, s, t, k;
  at::Tensor query, key, value, bias, upstream;
};

at::Tensor fused(const Inputs& in) { return ops::attention(in.arguments()); }
at::Tensor reference(const Inputs& in) { return reference::attention(in.arguments()); }
at::Tensor sdpa(const Inputs& in) {
  const at::Tensor offsets =
      at::arange(in.t).unsqueeze(0) - at::arange(in.s).unsqueeze(1) + in.s - 1;
  const at::Tensor bias = in.bias.index_select(1, offsets.reshape(-1)).to(at::kBFloat16);
  return at::scaled_dot_product_attention(in.query.transpose(1, 2), in.key.transpose(1, 2),
                                          in.value.transpose(1, 2),
                                          bias.view({1, in.h, in.s, in.t}), 0.0, false, 1.0)
      .transpose(1, 2);
}

using Attention = at::Tensor (*)(const Inputs&);

void count_flops(benchmark::State& state, const Inputs& in, double passes) {
  const double flops = 4e-9 * passes * static_cast<double>(in.b * in.h * in.s * in.t * in.k);
  state.counters["GFLOP"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

void forward(benchmark::State& state, Attention attention) {
  const Inputs in(state);
  for (auto _ : state) benchmark::DoNotOptimize(attention(in));
  count_flops(state, in, 1.0);
}

void forward_and_backward(benchmark::State& state, Attention attention) {
  const Inputs in(state);
  for (auto _ : state) attention(in).backward(in.upstream);
  count_flops(state, in, 3.5);
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"B", "H", "S", "T", "K"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  bench->Args({8, 8, 256, 256, 32})->Args({4, 12, 512, 512, 64});
  bench->Args({64, 4, 128, 128, 32})->Args({64, 4, 29, 128, 32});
}

BENCHMARK_CAPTURE(forward, fused, fused)->Apply(shapes);
BENCHMARK_CAPTURE(forward, sdpa, sdpa)->Apply(shapes);
BENCHMARK_CAPTURE(forward, reference, reference)->Apply(shapes);
BENCHMARK_CAPTURE(forward_and_backward, fused, fused)->Apply(shapes);
BENCHMARK_CAPTURE(forward_and_backward, sdpa, sdpa)->Apply(shapes);
BENCHMARK_CAPTURE(forward_and_backward, reference, reference)->Apply(shapes);

}  // namespace
}  // namespace switchyard
