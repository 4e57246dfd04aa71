#include "ops/activations.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>

#include "base/profile.h"
#include "kernels/activations.h"
#include "ops/kernel_pointers.h"
#include "ops/ops.h"
#include "ops/reference.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A RandomStream as an autograd-saveable value: two counters are all that it is.
class StreamDropout : public torch::autograd::Function<StreamDropout> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double rate,
                            std::string stream_bytes, int64_t first_row, int64_t first_column,
                            int64_t all_columns) {
    context->saved_data["rate"] = rate;
    context->saved_data["first_row"] = first_row;
    context->saved_data["first_column"] = first_column;
    context->saved_data["all_columns"] = all_columns;
    context->saved_data["stream"] = stream_bytes;
    return x * mask_for(x, rate, stream_bytes, first_row, {first_column, all_columns});
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor& gradient = gradients[0];
    const double rate = context->saved_data["rate"].toDouble();
    const at::Tensor mask = mask_for(
        gradient, rate, context->saved_data["stream"].toStringRef(),
        context->saved_data["first_row"].toInt(),
        {context->saved_data["first_column"].toInt(), context->saved_data["all_columns"].toInt()});
    return {gradient * mask, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  static at::Tensor mask_for(const at::Tensor& x, double rate, const std::string& bytes,
                             int64_t first_row, DropoutColumns columns) {
    RandomStream stream(0, 0);
    static_assert(std::is_trivially_copyable_v<RandomStream>);
    std::memcpy(&stream, bytes.data(), sizeof stream);
    const at::Tensor flat = x.reshape({-1, x.size(-1)});
    const at::Tensor keys = at::arange(first_row, first_row + flat.size(0), at::kLong);
    return dropout_mask(flat, keys, rate, stream, columns).view(x.sizes());
  }
};

bool has_kernel(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

class Relu : public torch::autograd::Function<Relu> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_variable) {
    const ProfileScope profile("activation forward");
    const at::Tensor x = x_variable.detach().contiguous();
    const at::Tensor y = at::empty_like(x);
    relu_out(x, y);
    context->save_for_backward({y});
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const ProfileScope profile("activation backward");
    const at::Tensor y = context->get_saved_variables()[0];
    const at::Tensor dx = at::empty_like(y);
    relu_backward_out(y, gradients[0].contiguous(), dx);
    return {dx};
  }
};

class Geglu : public torch::autograd::Function<Geglu> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_variable) {
    const ProfileScope profile("activation forward");
    const at::Tensor x = x_variable.detach().contiguous();
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() /= 2;
    const at::Tensor y = at::empty(shape, x.options());
    geglu_out(x, y);
    context->save_for_backward({x});
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const ProfileScope profile("activation backward");
    const at::Tensor x = context->get_saved_variables()[0];
    const at::Tensor dx = at::empty_like(x);
    geglu_backward_out(x, gradients[0].contiguous(), dx);
    return {dx};
  }
};

std::string to_bytes(const RandomStream& stream) {
  return std::string(reinterpret_cast<const char*>(&stream), sizeof stream);
}

}  // namespace

at::Tensor dropout_mask(const at::Tensor& like, const at::Tensor& keys, double rate,
                        const RandomStream& stream, DropoutColumns columns) {
  const int64_t width = like.size(1);
  TORCH_CHECK(columns.whole == 0 || (columns.begin % 4 == 0 && columns.whole % 4 == 0),
              "columns of a row begin and end at a multiple of 4");
  const at::Tensor mask = at::empty(like.sizes(), at::kFloat);
  const auto threshold = static_cast<uint32_t>(rate * 4294967296.0);
  const auto kept = static_cast<float>(1.0 / (1.0 - rate));
  const int64_t* key = keys.const_data_ptr<int64_t>();
  float* out = mask.mutable_data_ptr<float>();
  const uint64_t draws = static_cast<uint64_t>((columns.whole > 0 ? columns.whole : width) + 3) / 4;
  const auto first = static_cast<uint64_t>(columns.begin / 4);
  at::parallel_for(0, like.size(0), 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t i = 0; i < width; i += 4) {
        const Philox4 words = stream.draw(static_cast<uint64_t>(key[r]) * draws + first +
                                          static_cast<uint64_t>(i / 4));
        for (int64_t j = i; j < std::min(i + 4, width); ++j) {
          out[r * width + j] = words[static_cast<size_t>(j - i)] < threshold ? 0.0f : kept;
        }
      }
    }
  });
  return mask.to(like.scalar_type());
}

at::Tensor expert_dropout(const at::Tensor& hidden, const at::Tensor& choices, double rate,
                          const RandomStream& stream) {
  return hidden * dropout_mask(hidden.detach(), choices, rate, stream);
}

at::Tensor dropout(const at::Tensor& x, double rate, const RandomStream& stream, int64_t first_row,
                   DropoutColumns columns) {
  if (rate <= 0) return x;
  return StreamDropout::apply(x, rate, to_bytes(stream), first_row, columns.begin, columns.whole);
}

at::Tensor relu(const at::Tensor& x) { return has_kernel(x) ? Relu::apply(x) : at::relu(x); }

at::Tensor geglu(const at::Tensor& x) {
  return has_kernel(x) ? Geglu::apply(x) : reference::geglu(x);
}

// float64 (tests) takes LibTorch's way.
void relu_out(const at::Tensor& x, const at::Tensor& out) {
  const auto run = [&]<class T>(T) { kernels::relu(read<T>(x), x.numel(), write<T>(out)); };
  switch (x.scalar_type()) {
    case at::kFloat:
      return run(float{});
    case at::kBFloat16:
      return run(kernels::Bf16{});
    default:
      out.copy_(at::relu(x));
  }
}

void relu_backward_out(const at::Tensor& y, const at::Tensor& dy, const at::Tensor& out) {
  const auto run = [&]<class T>(T) {
    kernels::relu_backward(read<T>(y), read<T>(dy), y.numel(), write<T>(out));
  };
  switch (y.scalar_type()) {
    case at::kFloat:
      return run(float{});
    case at::kBFloat16:
      return run(kernels::Bf16{});
    default:
      out.copy_(dy * y.gt(0).to(dy.scalar_type()));
  }
}

void geglu_out(const at::Tensor& x, const at::Tensor& out) {
  const int64_t width = out.size(-1);
  const auto run = [&]<class T>(T) {
    kernels::geglu(read<T>(x), out.numel() / width, width, write<T>(out));
  };
  switch (x.scalar_type()) {
    case at::kFloat:
      return run(float{});
    case at::kBFloat16:
      return run(kernels::Bf16{});
    default:
      out.copy_(reference::geglu(x));
  }
}

void geglu_backward_out(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& out) {
  const int64_t width = dy.size(-1);
  const auto run = [&]<class T>(T) {
    kernels::geglu_backward(read<T>(x), read<T>(dy), dy.numel() / width, width, write<T>(out));
  };
  switch (x.scalar_type()) {
    case at::kFloat:
      return run(float{});
    case at::kBFloat16:
      return run(kernels::Bf16{});
    default: {
      const auto halves = x.chunk(2, -1);
      const at::Tensor gate = at::gelu_backward(dy * halves[1], halves[0], "tanh");
      out.copy_(at::cat({gate, at::gelu(halves[0], "tanh") * dy}, -1));
    }
  }
}

}  // namespace switchyard::ops
