// Recomputation (activation checkpointing): a piece of the model keeps its inputs alone, and
// backward runs it again to get what its operations need.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <vector>

namespace switchyard::ops {

/// A piece of the model as a function of the tensors through which gradients leave it. Must give
/// the same bits whenever it is called, and what it refers to must outlive the graph.
using Piece = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& inputs)>;

/// piece(inputs) as part of the graph, given `outputs`, what it gave under c10::NoGradGuard.
/// Backward calls it again and goes through what that recorded; without gradients to be computed,
/// this is `outputs`. Gradients of parameters inside are the bits of plain piece(inputs), and so
/// are those of inputs if the piece uses each in one place: several uses are added up among
/// themselves before what others bring.
/// Inputs and outputs must be defined, floating and no views of one another (unchecked).
std::vector<at::Tensor> recomputed(const std::vector<at::Tensor>& inputs,
                                   const std::vector<at::Tensor>& outputs, const Piece& piece);

}  // namespace switchyard::ops
