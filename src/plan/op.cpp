#include "plan/op.h"

namespace switchyard {

std::string op_kind_name(OpKind kind) {
  static constexpr std::array<const char*, kNumOpKinds> names = {"embedding forward",
                                                                 "embedding backward",
                                                                 "norm forward",
                                                                 "norm backward",
                                                                 "linear forward",
                                                                 "linear input gradient",
                                                                 "linear weight gradient",
                                                                 "router linear forward",
                                                                 "router input gradient",
                                                                 "router weight gradient",
                                                                 "router forward",
                                                                 "attention forward",
                                                                 "attention backward",
                                                                 "activation forward",
                                                                 "activation backward",
                                                                 "gated activation forward",
                                                                 "gated activation backward",
                                                                 "experts forward",
                                                                 "experts backward",
                                                                 "gated experts forward",
                                                                 "gated experts backward",
                                                                 "cross-entropy forward",
                                                                 "cross-entropy backward",
                                                                 "rest of forward",
                                                                 "rest of backward",
                                                                 "gradient norm",
                                                                 "adafactor",
                                                                 "adafactor with momentum",
                                                                 "adamw",
                                                                 "transfer"};
  return names[static_cast<size_t>(kind)];
}

Work& Work::operator+=(const Work& other) {
  flops += other.flops;
  weights += other.weights;
  elements += other.elements;
  calls += other.calls;
  return *this;
}

Work operator*(double factor, const Work& work) {
  return {factor * work.flops, factor * work.weights, factor * work.elements, factor * work.calls};
}

std::string collective_name(Collective collective) {
  static constexpr const char* names[] = {"none", "all-reduce", "reduce-scatter", "all-gather",
                                          "all-to-all"};
  return names[static_cast<size_t>(collective)];
}

std::string group_name(RankGroup group) {
  static constexpr const char* names[] = {"data", "expert", "model", "data x expert"};
  return names[static_cast<size_t>(group)];
}

}  // namespace switchyard
