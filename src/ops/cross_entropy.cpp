// The logits of a few rows at a time, kept in the products' own type. The buffer of the last rows
// stays until backward, which starts with them and computes the others again.
#include "kernels/cross_entropy.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "base/profile.h"
#include "ops/kernel_pointers.h"
#include "ops/layer_products.h"
#include "ops/ops.h"
#include "ops/parameter_bridge.h"
#include "ops/reference.h"

namespace switchyard::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Products want many rows at once (the table is repacked for each), and what is kept for backward
// need not be computed again; memory wants few: 128 MiB in bfloat16, 256 in float32.
constexpr int64_t kChunkElements = int64_t{1} << 26;

int64_t rows_per_chunk(int64_t vocab_size) {
  return std::max<int64_t>(64, kChunkElements / vocab_size);
}

struct Chunk {
  at::Tensor hidden, targets, log_z, logits;  // [n, D], [n], [n], [n, V]
  int64_t begin, count;
};

/// What for_each_chunk() goes over.
struct Rows {
  at::Tensor hidden, table, targets, log_z;  // [N, D], [V, D], [N], [N]
};

/// Room for the logits of one chunk.
at::Tensor chunk_buffer(const Rows& all) {
  const int64_t vocab_size = all.table.size(0);
  return at::empty({std::min(all.hidden.size(0), rows_per_chunk(vocab_size)), vocab_size},
                   all.hidden.options());
}

/// body(chunk) for consecutive rows, the last ones first if `last_is_ready` (then `buffer` holds
/// their logits already), else in order. The logits are those before scaling; `body` may use them
/// up.
template <class Body>
void for_each_chunk(const Rows& all, const at::Tensor& buffer, bool last_is_ready,
                    const Body& body) {
  const int64_t rows = all.hidden.size(0), per_chunk = rows_per_chunk(all.table.size(0));
  const int64_t chunks = (rows + per_chunk - 1) / per_chunk;
  for (int64_t i = 0; i < chunks; ++i) {
    const int64_t begin = per_chunk * (last_is_ready ? chunks - 1 - i : i);
    const int64_t count = std::min(per_chunk, rows - begin);
    Chunk chunk{all.hidden.narrow(0, begin, count),
                all.targets.narrow(0, begin, count),
                all.log_z.narrow(0, begin, count),
                buffer.narrow(0, 0, count),
                begin,
                count};
    if (i > 0 || !last_is_ready) {
      layer_forward(chunk.hidden, {0, count}, all.table, false, chunk.logits);
    }
    body(chunk);
  }
}

template <class T>
void run_forward(const Chunk& chunk, double scale, const at::Tensor& log_probs,
                 const at::Tensor& correct) {
  kernels::cross_entropy_forward(kernels::CrossEntropyForward<T>{
      read<T>(chunk.logits), read<int64_t>(chunk.targets), chunk.count, chunk.logits.size(1),
      static_cast<float>(scale), write<float>(log_probs), write<float>(chunk.log_z),
      correct.mutable_data_ptr<bool>()});
}

template <class T>
void run_backward(const Chunk& chunk, double scale, double z_weight, double gradient) {
  kernels::cross_entropy_backward(kernels::CrossEntropyBackward<T>{
      write<T>(chunk.logits), read<int64_t>(chunk.targets), read<float>(chunk.log_z), chunk.count,
      chunk.logits.size(1), static_cast<float>(scale), static_cast<float>(z_weight),
      static_cast<float>(gradient)});
}

class CrossEntropy : public torch::autograd::Function<CrossEntropy> {
 public:
  /// -> loss_sum, z_sum, correct, token_log_probs
  static variable_list forward(AutogradContext* context, const at::Tensor& hidden_variable,
                               const at::Tensor& /*value*/, const at::Tensor& targets,
                               Parameter* table, double scale, double z_weight) {
    const ProfileScope profile("cross-entropy forward");
    const at::Tensor hidden = hidden_variable.detach().contiguous();
    const int64_t rows = hidden.size(0);
    const at::Tensor log_z = at::empty({rows}, at::kFloat), log_probs = at::empty_like(log_z);
    const at::Tensor correct = at::empty({rows}, at::kBool);
    const Rows all{hidden, table->compute(), targets, log_z};
    const at::Tensor buffer = chunk_buffer(all);
    for_each_chunk(all, buffer, false, [&](const Chunk& chunk) {
      (hidden.scalar_type() == at::kFloat
           ? run_forward<float>
           : run_forward<kernels::Bf16>)(chunk, scale,
                                         log_probs.narrow(0, chunk.begin, chunk.count),
                                         correct.narrow(0, chunk.begin, chunk.count));
    });
    save_parameter(context, "table", *table);
    context->saved_data["scale"] = scale;
    context->saved_data["z_weight"] = z_weight;
    context->saved_data["buffer"] = buffer;
    context->save_for_backward({hidden, targets, log_z});
    variable_list results = {log_probs.sum(at::kDouble).neg().to(at::kFloat),
                             log_z.to(at::kDouble).square().sum().to(at::kFloat), correct.sum(),
                             log_probs};
    context->mark_non_differentiable({results[1], results[2], results[3]});
    return results;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const ProfileScope profile("cross-entropy backward");
    Parameter& table = saved_parameter(context, "table");
    const double scale = context->saved_data["scale"].toDouble();
    const double z_weight = context->saved_data["z_weight"].toDouble();
    const double gradient = gradients[0].item<double>();
    const variable_list saved = context->get_saved_variables();
    const Rows all{saved[0], table.compute(), saved[1], saved[2]};
    const at::Tensor& hidden = all.hidden;
    // Used up by the first backward pass: another one over the same graph makes its own.
    const bool last_is_ready = context->saved_data.count("buffer") > 0;
    const at::Tensor buffer =
        last_is_ready ? context->saved_data["buffer"].toTensor() : chunk_buffer(all);
    context->saved_data.erase("buffer");
    at::Tensor hidden_gradient;
    if (context->needs_input_grad(0)) hidden_gradient = at::empty_like(hidden);
    for_each_chunk(all, buffer, last_is_ready, [&](const Chunk& chunk) {
      (hidden.scalar_type() == at::kFloat
           ? run_backward<float>
           : run_backward<kernels::Bf16>)(chunk, scale, z_weight, gradient);
      const RowOffsets rows = {0, chunk.count};
      layer_weight_gradient(chunk.logits, chunk.hidden, rows, table);
      if (!hidden_gradient.defined()) return;
      layer_input_gradient(chunk.logits, rows, all.table, at::Tensor(),
                           hidden_gradient.narrow(0, chunk.begin, chunk.count));
    });
    return {hidden_gradient, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

CrossEntropyResult cross_entropy(const at::Tensor& hidden, Parameter& table,
                                 const at::Tensor& targets, double scale, double z_weight) {
  const at::ScalarType type = hidden.scalar_type();
  if (!hidden.device().is_cpu() || (type != at::kFloat && type != at::kBFloat16)) {
    const ProfileScope profile("cross-entropy forward");
    const auto plain = reference::cross_entropy(hidden, as_tensor(table), targets, scale);
    const at::Tensor z = plain.z_sum * z_weight;
    return {plain.loss_sum + (z - z.detach()), plain.z_sum.detach(), plain.correct,
            plain.token_log_probs};
  }
  const int64_t vocab_size = table.value().size(0);
  TORCH_CHECK(targets.numel() == 0 || (targets.min().item<int64_t>() >= 0 &&
                                       targets.max().item<int64_t>() < vocab_size),
              table.name(), ": a target is outside [0, ", vocab_size, ")");
  const variable_list results =
      CrossEntropy::apply(hidden, table.value(), targets.contiguous(), &table, scale, z_weight);
  return {results[0], results[1], results[2], results[3]};
}

}  // namespace switchyard::ops
