// Products of layers and experts in bfloat16: our kernel against LibTorch's, one product per expert
// with experts shared among threads (several experts) or one product on all threads. Arguments: E
// experts, R rows of each, N outputs, K inputs. GFLOP (per second) counts 2 E R N K.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <c10/core/GradMode.h>

#include "kernels/gemm.h"
#include "ops/kernel_pointers.h"

namespace switchyard {
namespace {

using kernels::Bf16;

struct Layer {
  explicit Layer(const benchmark::State& state)
      : e(state.range(0)),
        r(state.range(1)),
        n(state.range(2)),
        k(state.range(3)),
        x(at::randn({e * r, k}).to(at::kBFloat16)),
        dy(at::randn({e * r, n}).to(at::kBFloat16)),
        w(at::randn({e, n, k}).to(at::kBFloat16)),
        y(at::empty_like(dy)),
        dx(at::empty_like(x)),
        dw(at::zeros({e, n, k})),
        scratch(at::empty({at::get_num_threads(), n, k}, at::kBFloat16)) {
    for (int64_t i = 0; i <= e; ++i) offsets.push_back(i * r);
  }
  kernels::RowGroups groups() const { return {offsets.data(), e}; }
  at::Tensor rows(const at::Tensor& all, int64_t expert) const {
    return all.narrow(0, expert * r, r);
  }

  int64_t e, r, n, k;
  std::vector<int64_t> offsets;
  at::Tensor x, dy, w, y, dx, dw, scratch;
};

void ours_forward(const Layer& l) {
  const kernels::ProductTerm input{ops::read<Bf16>(l.x), l.k, ops::read<Bf16>(l.w)};
  kernels::layer_product({l.groups(), l.n, l.k, &input, 1, true, kernels::GemmFinish::kStore,
                          nullptr, ops::write<Bf16>(l.y)});
}
void ours_input_gradient(const Layer& l) {
  const kernels::ProductTerm input{ops::read<Bf16>(l.dy), l.n, ops::read<Bf16>(l.w)};
  kernels::layer_product({l.groups(), l.k, l.n, &input, 1, false, kernels::GemmFinish::kStore,
                          nullptr, ops::write<Bf16>(l.dx)});
}
void ours_weight_gradient(const Layer& l) {
  kernels::weight_gradient({l.groups(), l.n, l.k, ops::read<Bf16>(l.dy), l.n, ops::read<Bf16>(l.x),
                            l.k, ops::write<float>(l.dw), false});
}

template <class Body>
void for_each_expert(const Layer& l, const Body& body) {
  if (l.e == 1) return body(0);
  at::parallel_for(0, l.e, 1, [&](int64_t begin, int64_t end) {
    const c10::NoGradGuard no_grad;
    for (int64_t expert = begin; expert < end; ++expert) body(expert);
  });
}
void torch_forward(const Layer& l) {
  for_each_expert(l, [&](int64_t expert) {
    at::Tensor out = l.rows(l.y, expert);
    at::mm_out(out, l.rows(l.x, expert), l.w[expert].t());
  });
}
void torch_input_gradient(const Layer& l) {
  for_each_expert(l, [&](int64_t expert) {
    at::Tensor out = l.rows(l.dx, expert);
    at::mm_out(out, l.rows(l.dy, expert), l.w[expert]);
  });
}
void torch_weight_gradient(const Layer& l) {
  for_each_expert(l, [&](int64_t expert) {
    at::Tensor product = l.scratch[at::get_thread_num()];
    at::mm_out(product, l.rows(l.dy, expert).t(), l.rows(l.x, expert));
    l.dw[expert].copy_(product);
  });
}

void run(benchmark::State& state, void (*product)(const Layer&)) {
  const c10::NoGradGuard no_grad;
  const Layer layer(state);
  product(layer);
  for (auto _ : state) product(layer);
  state.counters["GFLOP"] =
      benchmark::Counter(2e-9 * static_cast<double>(layer.e * layer.r * layer.n * layer.k),
                         benchmark::Counter::kIsIterationInvariantRate);
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"E", "R", "N", "K"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  bench->Args({1, 2048, 2048, 2048})->Args({1, 8192, 256, 256})->Args({1, 8192, 256, 64});
  bench->Args({1, 4096, 3072, 768})->Args({1, 8192, 1024, 256});
  bench->Args({8, 640, 3072, 768})->Args({8, 256, 1024, 256})->Args({8, 256, 512, 128});
  bench->Args({32, 64, 1024, 256})->Args({128, 16, 3072, 768})->Args({128, 40, 3072, 768});
  bench->Args({128, 16, 512, 128})->Args({32, 256, 256, 64});
}

BENCHMARK_CAPTURE(run, ours_forward, ours_forward)->Apply(shapes);
BENCHMARK_CAPTURE(run, torch_forward, torch_forward)->Apply(shapes);
BENCHMARK_CAPTURE(run, ours_input_gradient, ours_input_gradient)->Apply(shapes);
BENCHMARK_CAPTURE(run, torch_input_gradient, torch_input_gradient)->Apply(shapes);
BENCHMARK_CAPTURE(run, ours_weight_gradient, ours_weight_gradient)->Apply(shapes);
BENCHMARK_CAPTURE(run, torch_weight_gradient, torch_weight_gradient)->Apply(shapes);

}  // namespace
}  // namespace switchyard
