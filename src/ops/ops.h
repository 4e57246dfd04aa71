// The differentiable operations of the model. Each is one autograd function over a kernel or over
// plain LibTorch ops, with a plain LibTorch reference in ops/reference.h that tests compare with.
// B: sequences, S: query positions, T: key positions, H: heads, K: d_kv, D: d_model, F: d_ff,
// V: vocabulary rows, N: tokens (rows), E: experts, O: outputs of an expert. Activations are
// float32, float64 or bfloat16; the result has the type of the first argument. All functions are
// thread-compatible.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "base/random.h"
#include "ops/parameter.h"
#include "ops/routing_plan.h"

namespace switchyard::ops {

/// y = x W^T. x [..., in], w [out, in] -> [..., out]. No bias anywhere in T5.
at::Tensor linear(const at::Tensor& x, Parameter& w);

/// The same of several layers of one shape that read the same x; the gradients of x are summed in
/// the product. Throws (TORCH_CHECK) if shapes differ.
std::vector<at::Tensor> linears(const at::Tensor& x, const std::vector<Parameter*>& layers);

/// T5's norm: scale * x / sqrt(mean(x^2) + epsilon), the variance in float32. x [..., D].
at::Tensor rms_norm(const at::Tensor& x, Parameter& scale, double epsilon);

/// The norm of a residual stream together with the stream itself: what goes on from `residual`
/// instead of x has its gradient added in the norm's own backward pass.
struct NormOfResidual {
  at::Tensor residual, normed;  // x, rms_norm(x)
};
NormOfResidual rms_norm_of_residual(const at::Tensor& x, Parameter& scale, double epsilon);

/// Rows of the table: ids [...] int64 -> [..., D] in the type of table.compute().
/// Throws (TORCH_CHECK) on ids outside [0, V).
at::Tensor embedding(const at::Tensor& ids, Parameter& table);

/// The columns of a row that a rank holds: their draws are those of the whole row. Both are
/// multiples of 4.
struct DropoutColumns {
  int64_t begin = 0, whole = 0;  // whole 0: all columns are here
};

/// Zeroes each element with probability `rate` and scales the rest by 1 / (1 - rate). The mask is
/// drawn again in backward from `stream`: row r of x [..., W] uses the draws of row first_row + r,
/// so a batch gets the same mask however it is split. rate 0: x itself.
/// `columns`: where x is some columns of wider rows.
at::Tensor dropout(const at::Tensor& x, double rate, const RandomStream& stream,
                   int64_t first_row = 0, DropoutColumns columns = {});

/// Multiplies each element by a factor uniform in [1 - amount, 1 + amount), drawn again in
/// backward. Row r of x [R, W] uses the draws of row first_row + r.
at::Tensor jitter(const at::Tensor& x, double amount, const RandomStream& stream,
                  int64_t first_row = 0);

/// ReLU(x) or, for GEGLU, gelu_tanh(a) * b with [a | b] = the two halves of the last axis of x.
at::Tensor relu(const at::Tensor& x);
at::Tensor geglu(const at::Tensor& x);

struct AttentionInput {
  at::Tensor query;       // [B, S, H, K], not scaled (T5 folds the scale into the initialization)
  at::Tensor key, value;  // [B, T, H, K]
  at::Tensor
      offset_bias;  // [H, S + T - 1] float32 or undefined: score(i, j) += bias[h, j - i + S - 1]
  bool causal = false;  // key j is visible to query i only if j <= i + (T - S)
  at::Tensor query_segments,
      key_segments;  // [B, S], [B, T] int64 or undefined: visible only if equal
};
/// Softmax attention; softmax in float32; rows without any visible key give 0. -> [B, S, H, K]
/// Keeps nothing of size [S, T]. Query, key and value may be slices of wider projections (heads
/// side by side, positions at any equal distance) at no cost; other layouts are copied.
at::Tensor attention(const AttentionInput& input);

/// Feed-forward of experts over ragged rows: for each kept pair (t, k) of the plan, e its expert,
///   out[t] += gate[t, k] * dropout(act(x[t] wi[e]^T)) wo[e]^T.
/// x [N, D]; wi [E, F, D] ([E, 2F, D] for GEGLU, gate half first); wo [E, O, F] -> [N, O], O = D in
/// a feed-forward. Tokens without a kept pair give 0. `gate` is plan.gate, which gets its gradient.
/// The result is the same to the bit as the dense feed-forward when E = 1 and the gate is 1.
struct ExpertOptions {
  bool gated = false;
  double dropout = 0.0;
  RandomStream dropout_stream{0, kRandomDropout};
  int64_t first_token = 0;      // index of token 0 in the global batch: keys its dropout
  DropoutColumns columns = {};  // of the inner width
};
at::Tensor expert_feed_forward(const at::Tensor& x, const RoutingPlan& plan, Parameter& wi,
                               Parameter& wo, const ExpertOptions& options);

/// The same with experts that are one linear map: out[t] += gate[t, k] * x[t] w[e]^T.
/// x [N, D]; w [E, O, D] -> [N, O].
at::Tensor expert_linear(const at::Tensor& x, const RoutingPlan& plan, Parameter& w);

struct CrossEntropyResult {
  at::Tensor
      loss_sum;      // scalar float32, differentiable: sum of -log p over positions with target > 0
  at::Tensor z_sum;  // scalar float32, no gradient: sum of (log Z)^2 over the same positions
  at::Tensor correct;          // scalar int64: positions whose argmax is the target
  at::Tensor token_log_probs;  // [N] float32, no gradient; 0 where the target is padding
};
/// Cross-entropy over the vocabulary without [N, V] in memory: hidden [N, D] times table [V, D]
/// transposed, scaled by `scale`, in chunks of rows that backward computes again. targets [N]
/// int64, 0 = padding, ignored. Backward through loss_sum carries the gradient of loss_sum +
/// z_weight * z_sum, so `z_weight`, the factor of z_sum in the total loss, is given here. Throws
/// (TORCH_CHECK) on targets outside [0, V).
CrossEntropyResult cross_entropy(const at::Tensor& hidden, Parameter& table,
                                 const at::Tensor& targets, double scale, double z_weight);

/// What a student learns from besides targets: the probabilities softmax(scale * hidden table^T).
struct SoftTargets {
  at::Tensor hidden;                 // [N, D'] of the teacher's decoder
  const Parameter* table = nullptr;  // [V, D']
  double scale = 1;
  double weight = 0.25;    // of them in the loss; the targets have the rest
  double temperature = 1;  // both sides' logits are divided by it in their part
};
struct DistillationResult {
  at::Tensor loss_sum;  // scalar float32, differentiable: (1 - weight) * hard + weight *
                        // temperature^2 * soft
  at::Tensor hard_sum;  // no gradient: sum of -log p over positions with target > 0
  at::Tensor
      soft_sum;  // no gradient: over the same, cross-entropy with the teacher's probabilities
  at::Tensor z_sum, correct;  // as above
};
/// As cross_entropy(), with a teacher (paper section 2.3): neither side's logits are ever in memory
/// as a whole. No gradient goes to the teacher. Throws (TORCH_CHECK) if the sides' shapes differ.
DistillationResult distillation_loss(const at::Tensor& hidden, Parameter& table,
                                     const at::Tensor& targets, double scale, double z_weight,
                                     const SoftTargets& soft);

}  // namespace switchyard::ops
