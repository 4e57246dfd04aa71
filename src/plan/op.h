// One operation of a training step as the planner sees it: how much work, which memory, which
// transfer between ranks.
#pragma once

#include <array>
#include <string>
#include <vector>

namespace switchyard {

/// Kinds of operations whose rates are of their own. The names are in op_kind_name().
enum class OpKind {
  kEmbeddingForward,
  kEmbeddingBackward,
  kNormForward,
  kNormBackward,
  kLinearForward,
  kLinearInputGradient,
  kLinearWeightGradient,
  kRouterLinearForward,  // in float32
  kRouterInputGradient,
  kRouterWeightGradient,
  kRouterForward,  // all but the product: cast, jitter, softmax, places, statistics
  kAttentionForward,
  kAttentionBackward,
  kActivationForward,
  kActivationBackward,
  kGatedActivationForward,  // GEGLU, which costs more than ReLU
  kGatedActivationBackward,
  kExpertsForward,
  kExpertsBackward,
  kGatedExpertsForward,  // their activation is in them
  kGatedExpertsBackward,
  kCrossEntropyForward,
  kCrossEntropyBackward,
  kRestForward,  // residual sums, shapes, dropout
  kRestBackward,
  kGradientNorm,
  kAdafactor,
  kAdafactorMomentum,
  kAdamW,
  kTransfer,
};
constexpr int kNumOpKinds = static_cast<int>(OpKind::kTransfer) + 1;

/// "linear forward"; also the key of its rates in a machine's file, with _ for spaces.
std::string op_kind_name(OpKind kind);

/// What an operation's time is linear in. `weights` and `elements` mean what costs time beside the
/// products: elements of weight matrices, which are packed at each use, and elements of rows that
/// are read or written. For attention `weights` are scores.
struct Work {
  double flops = 0, weights = 0, elements = 0, calls = 0;
  std::array<double, 4> terms() const { return {flops, weights, elements, calls}; }
  Work& operator+=(const Work& other);
};
Work operator*(double factor, const Work& work);

enum class Collective { kNone, kAllReduce, kReduceScatter, kAllGather, kAllToAll };
std::string collective_name(Collective collective);

/// The ranks that take part: those that differ along one axis, or along data and expert.
enum class RankGroup { kData, kExpert, kModel, kReplicas };
std::string group_name(RankGroup group);

struct Transfer {
  Collective kind = Collective::kNone;
  RankGroup group = RankGroup::kData;
  double bytes = 0;  // of one rank's whole buffer
};

struct Op {
  OpKind kind = OpKind::kTransfer;
  std::string place;   // "encoder.3"
  std::string detail;  // the parameter of a product, what a transfer carries
  Work work;
  double bytes = 0;      // of memory read and written, where no rate of the kind is known
  double keeps = 0;      // bytes that stay allocated afterwards
  double frees = 0;      // bytes that are free afterwards
  double temporary = 0;  // bytes beside those while it runs
  Transfer transfer;     // of kTransfer
  double repeat = 1;     // how often in a row: micro-batches that are told once
  // A rank has two streams, computation and transfers. A transfer that does not overlap takes up
  // both; anything else starts when its own stream is free and the operations in `after` are done.
  bool overlaps = false;
  std::vector<size_t> after;  // places in the list of operations

  bool is_transfer() const { return kind == OpKind::kTransfer; }
};

}  // namespace switchyard
