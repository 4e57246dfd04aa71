#include "ops/activations.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>

#include "ops/ops.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A RandomStream as an autograd-saveable value: two counters are all that it is.
class StreamDropout : public torch::autograd::Function<StreamDropout> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double rate,
                            std::string stream_bytes, int64_t first_row) {
    context->saved_data["rate"] = rate;
    context->saved_data["first_row"] = first_row;
    context->saved_data["stream"] = stream_bytes;
    return x * mask_for(x, rate, stream_bytes, first_row);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor& gradient = gradients[0];
    const double rate = context->saved_data["rate"].toDouble();
    const at::Tensor mask =
        mask_for(gradient, rate, context->saved_data["stream"].toStringRef(),
                 context->saved_data["first_row"].toInt());
    return {gradient * mask, at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  static at::Tensor mask_for(const at::Tensor& x, double rate, const std::string& bytes,
                             int64_t first_row) {
    RandomStream stream(0, 0);
    static_assert(std::is_trivially_copyable_v<RandomStream>);
    std::memcpy(&stream, bytes.data(), sizeof stream);
    const at::Tensor flat = x.reshape({-1, x.size(-1)});
    const at::Tensor keys = at::arange(first_row, first_row + flat.size(0), at::kLong);
    return dropout_mask(flat, keys, rate, stream).view(x.sizes());
  }
};

std::string to_bytes(const RandomStream& stream) {
  return std::string(reinterpret_cast<const char*>(&stream), sizeof stream);
}

}  // namespace

at::Tensor dropout_mask(const at::Tensor& like, const at::Tensor& keys, double rate,
                        const RandomStream& stream) {
  const int64_t width = like.size(1);
  const at::Tensor mask = at::empty(like.sizes(), at::kFloat);
  const auto threshold = static_cast<uint32_t>(rate * 4294967296.0);
  const auto kept = static_cast<float>(1.0 / (1.0 - rate));
  const int64_t* key = keys.const_data_ptr<int64_t>();
  float* out = mask.mutable_data_ptr<float>();
  const uint64_t draws = static_cast<uint64_t>(width + 3) / 4;
  at::parallel_for(0, like.size(0), 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t i = 0; i < width; i += 4) {
        const Philox4 words =
            stream.draw(static_cast<uint64_t>(key[r]) * draws + static_cast<uint64_t>(i / 4));
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

at::Tensor dropout(const at::Tensor& x, double rate, const RandomStream& stream,
                   int64_t first_row) {
  if (rate <= 0) return x;
  return StreamDropout::apply(x, rate, to_bytes(stream), first_row);
}

at::Tensor relu(const at::Tensor& x) { return at::relu(x); }

at::Tensor geglu(const at::Tensor& x) {
  const auto halves = x.chunk(2, -1);
  return at::gelu(halves[0], "tanh") * halves[1];
}

at::Tensor geglu_backward(const at::Tensor& x, const at::Tensor& gradient) {
  const auto halves = x.chunk(2, -1);
  const at::Tensor linear_part = at::gelu(halves[0], "tanh") * gradient;
  const at::Tensor gate_part = at::gelu_backward(gradient * halves[1], halves[0], "tanh");
  return at::cat({gate_part, linear_part}, -1);
}

}  // namespace switchyard::ops
