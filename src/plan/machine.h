// What a plan assumes of the machines: rates of one rank, links between ranks, and, where they were
// measured, what each kind of operation costs.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/field_list.h"
#include "plan/op.h"

namespace switchyard {

/// Seconds per unit of Work, in its order; all 0: not known.
using OpCost = std::array<double, 4>;
using OpCosts = std::array<OpCost, kNumOpKinds>;

/// How operations of about one shape differ from their kind's costs, which small products and large
/// ones cannot share: what one call works on, and measured over fitted time.
struct ShapeClass {
  double flops = 0, weights = 0, elements = 0;  // of a call
  double ratio = 1;
};
using ShapeClasses = std::array<std::vector<ShapeClass>, kNumOpKinds>;

struct Machine {
  std::string name = "machine";
  std::string source;         // where the numbers come from
  double flops = 1e12;        // FLOP/s of a rank in bfloat16
  double flops_fp32 = 0;      // in float32; 0: a quarter of those
  double efficiency = 0.5;    // share of them that the products of a step reach
  double memory_rate = 1e11;  // bytes/s of a rank
  double memory_bytes = 0;    // of a rank; 0: no limit known
  double op_seconds = 0;      // fixed cost of starting an operation
  int64_t ranks_per_host = 1;
  double link_within = 1e10;  // bytes/s that a rank sends to ranks of its host
  double link_between = 1e9;  // bytes/s that a rank sends to other hosts
  double latency_within = 1e-6, latency_between = 1e-5;  // seconds of a message
  double message_seconds = 2e-7;                         // that each message of an all-to-all adds
  double disk_rate = 1e9;  // bytes/s that a rank writes of a checkpoint
  double base_bytes = 0;   // of a process without a model: program and libraries
  double heap_gaps = 0;    // share of activations that the heap's gaps between them take besides
  OpCosts costs_bf16{}, costs_fp32{};
  ShapeClasses classes_bf16, classes_fp32;

  void list_fields(FieldList& fields);
  std::string to_toml() const;
  const OpCosts& costs(bool wide) const { return wide ? costs_fp32 : costs_bf16; }
  const ShapeClasses& classes(bool wide) const { return wide ? classes_fp32 : classes_bf16; }
};

/// "h100", "h200", "tpu_v3_core", "cpu_cluster": assumptions, not measurements; each says its
/// source.
const std::vector<Machine>& known_machines();

/// A known machine or a TOML file (name ends in .toml). Throws Error(kUsage).
Machine load_machine(const std::string& name_or_file);

/// Seconds of an operation that is no transfer, once. `load`: rows of experts relative to an even
/// share. `wide`: float32.
double op_seconds(const Op& op, const Machine& machine, bool wide, double load = 1);

}  // namespace switchyard
