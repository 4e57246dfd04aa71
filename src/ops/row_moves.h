// How rows come to experts and back: gathers and scatters of whole rows over threads, without
// autograd. R: rows, N: tokens, D: width. Everything contiguous, of one float type.
#pragma once

#include <ATen/ATen.h>

#include "ops/routing_plan.h"

namespace switchyard::ops {

/// [R] int64: the token of each kept (token, choice) pair of the plan.
at::Tensor tokens_of_rows(const RoutingPlan& plan);

/// [count, width] in room for `most` rows: blocks whose size does not depend on what is dropped
/// leave no gaps in the heap.
at::Tensor empty_rows(const at::Tensor& like, int64_t count, int64_t most, int64_t width);

/// out[index[r]] = rows[r]; indices are distinct.
void scatter_rows(const at::Tensor& rows, const at::Tensor& index, const at::Tensor& out);

/// [N, D]: the sum of a token's rows, each times its gate. `token` is tokens_of_rows(plan),
/// `gate` [R] float32 for bfloat16 rows, else of the rows' type.
at::Tensor combine_rows(const at::Tensor& y, const at::Tensor& gate, const at::Tensor& token,
                        int64_t num_tokens, int64_t num_choices);
/// Its backward pass: with u = upstream[token[r]], scaled[r] = u * gate[r] and dot[r] = sum u y[r].
void combine_rows_backward(const at::Tensor& upstream, const at::Tensor& y, const at::Tensor& gate,
                           const at::Tensor& token, const at::Tensor& scaled,
                           const at::Tensor& dot);

/// [N, D]: the sum of a token's rows, as the backward pass of gathering them.
at::Tensor sum_rows(const at::Tensor& rows, const at::Tensor& token, int64_t num_tokens,
                    int64_t num_choices);

}  // namespace switchyard::ops
