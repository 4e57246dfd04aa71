#include "kernels/attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <optional>

#include "base/profile.h"
#include "ops/kernel_pointers.h"
#include "ops/ops.h"
#include "ops/reference.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// [B, L, H, K] as the kernel reads it: heads side by side, positions at equal distances, such as a
// slice of a wider projection. Anything else is copied.
at::Tensor with_row_stride(const at::Tensor& x) {
  const bool heads_together = (x.size(3) == 1 || x.stride(3) == 1) &&
                              (x.size(2) == 1 || x.stride(2) == x.size(3)) &&
                              (x.size(1) == 1 || x.stride(1) >= x.size(2) * x.size(3));
  const bool one_distance = x.size(0) == 1 || x.stride(0) == x.size(1) * x.stride(1);
  return heads_together && one_distance ? x : x.contiguous();
}

template <class T>
kernels::AttentionInputs<T> kernel_inputs(const AttentionInput& in) {
  const auto data = [](const at::Tensor& x) { return static_cast<const T*>(x.const_data_ptr()); };
  return {in.query.size(0),
          in.query.size(2),
          in.query.size(1),
          in.key.size(1),
          in.query.size(3),
          data(in.query),
          data(in.key),
          data(in.value),
          in.query.stride(1),
          in.key.stride(1),
          in.value.stride(1),
          read<float>(in.offset_bias),
          in.causal,
          read<int64_t>(in.query_segments),
          read<int64_t>(in.key_segments)};
}

template <class T>
void run_forward(const AttentionInput& in, at::Tensor& output, at::Tensor& log_sum) {
  kernels::attention_forward(
      kernels::AttentionForward<T>{kernel_inputs<T>(in), write<T>(output), write<float>(log_sum)});
}

struct Gradients {
  at::Tensor query, key, value, offset_bias;
};

template <class T>
void run_backward(const AttentionInput& in, const at::Tensor& doutput, const at::Tensor& log_sum,
                  const Gradients& out) {
  kernels::attention_backward(kernels::AttentionBackward<T>{
      kernel_inputs<T>(in), read<T>(doutput), read<float>(log_sum), write<T>(out.query),
      write<T>(out.key), write<T>(out.value), write<float>(out.offset_bias)});
}

class FusedAttention : public torch::autograd::Function<FusedAttention> {
 public:
  // autograd::Function takes no undefined tensors: what may be missing is optional.
  using Optional = std::optional<at::Tensor>;

  static at::Tensor forward(AutogradContext* context, const at::Tensor& query,
                            const at::Tensor& key, const at::Tensor& value,
                            const Optional& offset_bias, bool causal,
                            const Optional& query_segments, const Optional& key_segments) {
    const ProfileScope profile("attention forward");
    const auto dense = [](const Optional& x) { return x ? x->contiguous() : at::Tensor(); };
    const AttentionInput in{with_row_stride(query),
                            with_row_stride(key),
                            with_row_stride(value),
                            dense(offset_bias),
                            causal,
                            dense(query_segments),
                            dense(key_segments)};
    at::Tensor output = at::empty(query.sizes(), query.options());
    at::Tensor log_sum = at::empty({query.size(0), query.size(2), query.size(1)}, at::kFloat);
    (is_float(in) ? run_forward<float> : run_forward<kernels::Bf16>)(in, output, log_sum);
    context->save_for_backward(
        {in.query, in.key, in.value, in.offset_bias, in.query_segments, in.key_segments, log_sum});
    context->saved_data["causal"] = causal;
    return output;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const ProfileScope profile("attention backward");
    const variable_list saved = context->get_saved_variables();
    const AttentionInput in{
        saved[0], saved[1], saved[2], saved[3], context->saved_data["causal"].toBool(),
        saved[4], saved[5]};
    const auto like = [](const at::Tensor& x) { return at::empty(x.sizes(), x.options()); };
    const bool wants_bias = in.offset_bias.defined() && context->needs_input_grad(3);
    const Gradients out{like(in.query), like(in.key), like(in.value),
                        wants_bias ? like(in.offset_bias) : at::Tensor()};
    (is_float(in) ? run_backward<float>
                  : run_backward<kernels::Bf16>)(in, gradients[0].contiguous(), saved[6], out);
    return {out.query,    out.key,      out.value,   out.offset_bias,
            at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  static bool is_float(const AttentionInput& in) { return in.query.scalar_type() == at::kFloat; }
};

void check(const AttentionInput& in) {
  TORCH_CHECK(in.query.dim() == 4 && in.key.dim() == 4 && in.key.sizes() == in.value.sizes() &&
                  in.key.size(0) == in.query.size(0) && in.key.size(2) == in.query.size(2) &&
                  in.key.size(3) == in.query.size(3) &&
                  in.key.scalar_type() == in.query.scalar_type() &&
                  in.value.scalar_type() == in.query.scalar_type(),
              "attention: query ", in.query.sizes(), ", key ", in.key.sizes(), " and value ",
              in.value.sizes(), " do not fit together");
  const std::array bias_shape = {in.query.size(2), in.query.size(1) + in.key.size(1) - 1};
  TORCH_CHECK(!in.offset_bias.defined() || in.offset_bias.sizes() == at::IntArrayRef(bias_shape),
              "attention: bias ", in.offset_bias.sizes(), " for query ", in.query.sizes(),
              " and key ", in.key.sizes(), " must be [H, S + T - 1]");
  TORCH_CHECK(in.query_segments.defined() == in.key_segments.defined() &&
                  (!in.query_segments.defined() ||
                   (in.query_segments.sizes() == in.query.sizes().slice(0, 2) &&
                    in.key_segments.sizes() == in.key.sizes().slice(0, 2))),
              "attention: segments must be given for queries and keys, [B, S] and [B, T]");
}

bool has_kernel(const AttentionInput& in) {
  const at::ScalarType type = in.query.scalar_type();
  return in.query.device().is_cpu() && (type == at::kFloat || type == at::kBFloat16) &&
         in.query.numel() > 0 && in.key.numel() > 0 &&
         (!in.offset_bias.defined() || in.offset_bias.scalar_type() == at::kFloat) &&
         (!in.query_segments.defined() || (in.query_segments.scalar_type() == at::kLong &&
                                           in.key_segments.scalar_type() == at::kLong));
}

}  // namespace

at::Tensor attention(const AttentionInput& in) {
  check(in);
  if (!has_kernel(in)) {
    const ProfileScope profile("attention forward");
    return reference::attention(in);
  }
  const auto optional = [](const at::Tensor& x) {
    return x.defined() ? std::optional(x) : std::nullopt;
  };
  return FusedAttention::apply(in.query, in.key, in.value, optional(in.offset_bias), in.causal,
                               optional(in.query_segments), optional(in.key_segments));
}

}  // namespace switchyard::ops
