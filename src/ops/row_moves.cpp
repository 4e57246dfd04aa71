#include "ops/row_moves.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "ops/row_kernels.h"

namespace switchyard::ops {
namespace {

constexpr int64_t kRowsPerTask = 64;

// out[index[r]] = y[r] * gate[r].
void scatter_scaled(const at::Tensor& y, const at::Tensor& gate, const at::Tensor& index,
                    const at::Tensor& out) {
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, y.scalar_type(), "combine", [&] {
    using Gate = std::conditional_t<std::is_same_v<scalar_t, double>, double, float>;
    const auto* from = y.const_data_ptr<scalar_t>();
    const auto* gates = gate.const_data_ptr<Gate>();
    const auto* places = index.const_data_ptr<int64_t>();
    auto* to = out.mutable_data_ptr<scalar_t>();
    const int64_t width = y.size(1);
    at::parallel_for(0, index.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
      rows::scatter_scaled(from + begin * width, gates + begin, places + begin, end - begin, width,
                           to);
    });
  });
}

}  // namespace

at::Tensor tokens_of_rows(const RoutingPlan& plan) {
  return plan.num_choices == 1 ? plan.row_choice : plan.row_choice.floor_divide(plan.num_choices);
}

at::Tensor empty_rows(const at::Tensor& like, int64_t count, int64_t most, int64_t width) {
  return at::empty({std::max(count, most), width}, like.options()).narrow(0, 0, count);
}

void scatter_rows(const at::Tensor& rows, const at::Tensor& index, const at::Tensor& out) {
  const auto bytes = static_cast<size_t>(rows.size(1) * rows.element_size());
  const auto* from = static_cast<const char*>(rows.const_data_ptr());
  auto* to = static_cast<char*>(out.mutable_data_ptr());
  const int64_t* place = index.const_data_ptr<int64_t>();
  at::parallel_for(0, rows.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      std::memcpy(to + static_cast<size_t>(place[r]) * bytes, from + static_cast<size_t>(r) * bytes,
                  bytes);
    }
  });
}

at::Tensor combine_rows(const at::Tensor& y, const at::Tensor& gate, const at::Tensor& token,
                        int64_t num_tokens, int64_t num_choices) {
  const at::Tensor out = at::zeros({num_tokens, y.size(1)}, y.options());
  if (num_choices == 1) {
    scatter_scaled(y, gate, token, out);
  } else {
    const at::Tensor scaled = at::empty_like(y);
    scatter_scaled(y, gate, at::arange(y.size(0), at::kLong), scaled);
    at::Tensor(out).index_add_(0, token, scaled);
  }
  return out;
}

void combine_rows_backward(const at::Tensor& upstream, const at::Tensor& y, const at::Tensor& gate,
                           const at::Tensor& token, const at::Tensor& scaled,
                           const at::Tensor& dot) {
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, y.scalar_type(), "combine_backward", [&] {
    using Gate = std::conditional_t<std::is_same_v<scalar_t, double>, double, float>;
    const auto* from = upstream.const_data_ptr<scalar_t>();
    const auto* own = y.const_data_ptr<scalar_t>();
    const auto* gates = gate.const_data_ptr<Gate>();
    const auto* places = token.const_data_ptr<int64_t>();
    auto* to = scaled.mutable_data_ptr<scalar_t>();
    auto* dots = dot.mutable_data_ptr<Gate>();
    const int64_t width = y.size(1);
    at::parallel_for(0, token.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
      rows::gather_scaled(from, own + begin * width, gates + begin, places + begin, end - begin,
                          width, to + begin * width, dots + begin);
    });
  });
}

at::Tensor sum_rows(const at::Tensor& rows, const at::Tensor& token, int64_t num_tokens,
                    int64_t num_choices) {
  const at::Tensor out = at::zeros({num_tokens, rows.size(1)}, rows.options());
  if (num_choices == 1) {
    scatter_rows(rows, token, out);
  } else {
    at::Tensor(out).index_add_(0, token, rows);
  }
  return out;
}

}  // namespace switchyard::ops
