// An operation at one shape, to be timed next to plain LibTorch.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <string>
#include <vector>

namespace switchyard {

/// The least that an operation has to do, whoever does it.
struct OpWork {
  double flops = 0;         // of matrix products; 0 where there are none
  double bytes = 0;         // every input read once, every output written once
  double weight_bytes = 0;  // of these, the part of weights and their gradients
};

/// The same work twice; both own what they use and can run any number of times. What they return
/// is the operation's result, so that tests can see that both do the same.
struct OpPair {
  std::function<at::Tensor()> ours, reference;
};

struct OpCase {
  std::string name;  // "operation/shape/direction"
  std::string type;  // of its products, "bf16" or "fp32": whose GEMM rate limits it
  OpWork work;
  double memory = 0;  // bytes that prepare() and both sides allocate, about
  std::function<OpPair()> prepare;
};

/// Products y = x W^T of linear layers, in both types.
std::vector<OpCase> gemm_cases();
/// T5's attention, with its bias.
std::vector<OpCase> attention_cases();
/// Experts' feed-forwards, even and uneven.
std::vector<OpCase> expert_cases();
/// From router logits to a routing plan.
std::vector<OpCase> router_cases();
/// Norm, dropout, embedding.
std::vector<OpCase> row_cases();
/// Cross-entropy over the vocabulary.
std::vector<OpCase> cross_entropy_cases();
/// One update of a layer of experts.
std::vector<OpCase> optimizer_cases();

/// All of them, in this order.
std::vector<OpCase> all_op_cases();

}  // namespace switchyard
