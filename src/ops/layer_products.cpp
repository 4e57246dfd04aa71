#include "ops/layer_products.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <functional>

#include "kernels/gemm.h"
#include "ops/activations.h"
#include "ops/kernel_pointers.h"

namespace switchyard::ops {
namespace {

using kernels::Bf16;

/// Runs body(e) for every group with rows, longest first onto the least busy thread. With one
/// group the products themselves use all threads. What is computed does not depend on the split.
void for_each_group(const RowOffsets& offsets, const std::function<void(int64_t)>& body) {
  std::vector<int64_t> order;
  const auto rows = [&](int64_t e) {
    return offsets[static_cast<size_t>(e) + 1] - offsets[static_cast<size_t>(e)];
  };
  for (int64_t e = 0; e + 1 < static_cast<int64_t>(offsets.size()); ++e) {
    if (rows(e) > 0) order.push_back(e);
  }
  if (order.size() == 1) {
    body(order[0]);
    return;
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return rows(a) > rows(b); });
  const auto threads = static_cast<size_t>(std::max(1, at::get_num_threads()));
  std::vector<std::vector<int64_t>> share(threads);
  std::vector<int64_t> busy(threads, 0);
  for (const int64_t e : order) {
    const auto least = std::min_element(busy.begin(), busy.end()) - busy.begin();
    share[static_cast<size_t>(least)].push_back(e);
    busy[static_cast<size_t>(least)] += rows(e);
  }
  at::parallel_for(0, static_cast<int64_t>(threads), 1, [&](int64_t begin, int64_t end) {
    const c10::NoGradGuard no_grad;  // grad mode is per thread
    for (int64_t thread = begin; thread < end; ++thread) {
      for (const int64_t e : share[static_cast<size_t>(thread)]) body(e);
    }
  });
}

bool has_kernel(const at::Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == at::kBFloat16;
}

at::Tensor rows_of(const at::Tensor& x, const RowOffsets& offsets, int64_t e) {
  const int64_t begin = offsets[static_cast<size_t>(e)];
  return x.narrow(0, begin, offsets[static_cast<size_t>(e) + 1] - begin);
}

/// [N, K] -> [1, N, K].
at::Tensor stacked(const at::Tensor& weights) {
  return weights.dim() == 2 ? weights.unsqueeze(0) : weights;
}

kernels::RowGroups groups_of(const RowOffsets& offsets) {
  return {offsets.data(), static_cast<int64_t>(offsets.size()) - 1};
}

/// Kernels would read beyond the end where LibTorch's products throw.
void check(const at::Tensor& rows, const RowOffsets& offsets, const at::Tensor& stack,
           int64_t axis) {
  TORCH_CHECK(static_cast<int64_t>(offsets.size()) == stack.size(0) + 1 &&
                  offsets.back() == rows.size(0) && rows.size(1) == stack.size(axis),
              "rows ", rows.sizes(), " of ", offsets.size() - 1,
              " groups do not fit weights of shape ", stack.sizes(), " along axis ", axis);
}

}  // namespace

void layer_forward(const at::Tensor& x, const RowOffsets& offsets, const at::Tensor& weights,
                   bool relu, const at::Tensor& y) {
  const at::Tensor stack = stacked(weights);
  check(x, offsets, stack, 2);
  check(y, offsets, stack, 1);
  if (has_kernel(x)) {
    const kernels::ProductTerm input{read<Bf16>(x), x.size(1), read<Bf16>(stack)};
    kernels::layer_product({groups_of(offsets), stack.size(1), stack.size(2), &input, 1, true,
                            relu ? kernels::GemmFinish::kRelu : kernels::GemmFinish::kStore,
                            nullptr, write<Bf16>(y)});
    return;
  }
  for_each_group(offsets, [&](int64_t e) {
    at::Tensor own = rows_of(y, offsets, e);
    at::mm_out(own, rows_of(x, offsets, e), stack.select(0, e).t());
    if (relu) relu_out(own, own);
  });
}

void layer_input_gradient(const at::Tensor& dy, const RowOffsets& offsets,
                          const at::Tensor& weights, const at::Tensor& relu, const at::Tensor& dx) {
  layer_input_gradient(std::vector{dy}, offsets, std::vector{weights}, relu, dx);
}

void layer_input_gradient(const std::vector<at::Tensor>& dy, const RowOffsets& offsets,
                          const std::vector<at::Tensor>& weights, const at::Tensor& relu,
                          const at::Tensor& dx) {
  for (size_t i = 0; i < dy.size(); ++i) {
    check(dy[i], offsets, stacked(weights[i]), 1);
    check(dx, offsets, stacked(weights[i]), 2);
  }
  if (has_kernel(dx)) {
    std::vector<kernels::ProductTerm> inputs;
    for (size_t i = 0; i < dy.size(); ++i) {
      inputs.push_back({read<Bf16>(dy[i]), dy[i].size(1), read<Bf16>(weights[i])});
    }
    kernels::layer_product(
        {groups_of(offsets), dx.size(1), dy[0].size(1), inputs.data(),
         static_cast<int64_t>(inputs.size()), false,
         relu.defined() ? kernels::GemmFinish::kReluGradient : kernels::GemmFinish::kStore,
         read<Bf16>(relu), write<Bf16>(dx)});
    return;
  }
  for_each_group(offsets, [&](int64_t e) {
    at::Tensor own = rows_of(dx, offsets, e);
    for (size_t i = 0; i < dy.size(); ++i) {
      const at::Tensor left = rows_of(dy[i], offsets, e), right = stacked(weights[i]).select(0, e);
      i == 0 ? at::mm_out(own, left, right) : own.addmm_(left, right);
    }
    if (relu.defined()) relu_backward_out(rows_of(relu, offsets, e), own, own);
  });
}

void layer_weight_gradient(const at::Tensor& dy, const at::Tensor& x, const RowOffsets& offsets,
                           Parameter& w) {
  if (w.frozen()) return;
  const auto [buffer, accumulate] = w.gradient_for_writing();
  const at::Tensor stack = stacked(buffer);
  check(dy, offsets, stack, 1);
  check(x, offsets, stack, 2);
  if (has_kernel(dy)) {
    const double squares = kernels::weight_gradient(
        {groups_of(offsets), stack.size(1), stack.size(2), read<Bf16>(dy), dy.size(1),
         read<Bf16>(x), x.size(1), write<float>(stack), accumulate});
    w.set_gradient_squares(squares);
    return;
  }
  for (int64_t e = 0; e < stack.size(0); ++e) {
    const bool idle = rows_of(dy, offsets, e).size(0) == 0;
    if (idle && !accumulate) stack.select(0, e).zero_();
  }
  for_each_group(offsets, [&, adds = accumulate](int64_t e) {
    at::Tensor own = stack.select(0, e);
    const at::Tensor left = rows_of(dy, offsets, e).t(), right = rows_of(x, offsets, e);
    if (left.scalar_type() != own.scalar_type()) {  // bfloat16 elsewhere
      const at::Tensor product = at::mm(left, right);
      adds ? own.add_(product) : own.copy_(product);
    } else {
      adds ? own.addmm_(left, right) : at::mm_out(own, left, right);
    }
  });
}

}  // namespace switchyard::ops
