// Forward and backward of one micro-batch, written down layer by layer. A layer's call adds what
// runs forward and puts aside what runs backward; backward() gives that in the other order.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "plan/op.h"
#include "plan/step_program.h"

namespace switchyard {

/// The model as one rank computes it.
struct RankModel {
  const ModelConfig* config = nullptr;
  MeshConfig mesh;
  int64_t inner = 0, d_ff = 0, attention_hidden = 0;  // of one rank
  double item = 2;                                    // bytes of an activation
  bool router_copy = true;  // the router's float32 input is a tensor of its own
};

/// Tokens of one forward pass in a stack, and what its attention looks at.
struct StackShape {
  std::string name;
  int64_t sequences = 0, length = 0, memory_length = 0;  // memory: decoder only
  bool decoder() const { return memory_length > 0; }
  double tokens() const { return static_cast<double>(sequences * length); }
  double memory_tokens() const { return static_cast<double>(sequences * memory_length); }
};

class PassBuilder {
 public:
  PassBuilder(const RankModel& model, const StepOptions& options)
      : model_(model), options_(options) {}

  void stack(const StackShape& shape, bool recompute);
  void cross_entropy(double rows);

  std::vector<Op> forward, backward;  // backward: filled by finish(), in the order it runs
  void finish();

 private:
  using Group = std::vector<Op>;  // runs in this order; `after` counts from its first operation

  void block(const StackShape& shape, size_t index);
  void norm(const StackShape& shape);
  /// `count` layers of one size that read the same rows of `inputs`.
  void linears(const std::string& parameter, const std::vector<std::string>& names, double rows,
               double outputs, double inputs, double kept_outputs, bool router = false);
  void attention(const StackShape& shape, double keys, double key_tokens, bool causal);
  void self_attention(const StackShape& shape, const std::string& layer, bool experts);
  void cross_attention(const StackShape& shape, const std::string& layer);
  void dense(const StackShape& shape, const std::string& layer);
  void routed(const StackShape& shape, const std::string& layer, double inner, double outputs);
  void router(const StackShape& shape, const std::string& layer);
  void experts(const StackShape& shape, double inner, double outputs);
  void residual(const StackShape& shape, bool routed);
  void model_sum(double elements, bool in_forward);

  Op op(OpKind kind, Work work, double bytes) const;
  Op transfer(Collective kind, RankGroup group, double bytes, const std::string& what) const;
  void add(Op op) { forward.push_back(std::move(op)); }
  void add(Group group);
  void put_aside(Group group) { aside_.push_back(std::move(group)); }
  Group exchanged(const Op& experts, double sent, double returned) const;

  const RankModel& model_;
  const StepOptions& options_;
  std::string place_;
  double flowing_ = 0;  // bytes of gradients that backward carries from layer to layer
  std::vector<Group> aside_;
};

}  // namespace switchyard
