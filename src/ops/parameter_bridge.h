// Between parameters and autograd, for the ops of this folder.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include <string>

#include "ops/parameter.h"

namespace switchyard {

/// The parameter's compute copy as a differentiable tensor: its gradient is added to the
/// parameter's buffer. With it any plain LibTorch op works on parameters.
at::Tensor as_tensor(Parameter& parameter);

/// Inside an autograd function whose backward writes a parameter's gradient itself. Pass
/// parameter.value() as an input too, so that the function becomes part of the graph, and return an
/// undefined gradient for it. The parameter must outlive the graph.
void save_parameter(torch::autograd::AutogradContext* context, const std::string& key,
                    Parameter& parameter);
Parameter& saved_parameter(torch::autograd::AutogradContext* context, const std::string& key);

}  // namespace switchyard
