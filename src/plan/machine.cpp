#include "plan/machine.h"

#include <algorithm>
#include <locale>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "plan/cost_fit.h"

namespace switchyard {
namespace {

constexpr double kMost = 1e24;

std::string key_of(OpKind kind) {
  std::string name = op_kind_name(kind);
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == ' ' || c == '-'; }, '_');
  return name;
}

/// A table of costs as a section of the file.
struct CostSection {
  OpCosts& costs;
  std::array<std::string, kNumOpKinds>& classes;
  void list_fields(FieldList& fields) {
    for (int kind = 0; kind < kNumOpKinds - 1; ++kind) {
      OneCost one{costs[static_cast<size_t>(kind)], classes[static_cast<size_t>(kind)]};
      fields.section(key_of(static_cast<OpKind>(kind)), one);
    }
  }
  struct OneCost {
    OpCost& cost;
    std::string& classes;
    void list_fields(FieldList& fields) {
      fields.number("flop", &cost[0], 0, 1, "seconds of a floating-point operation");
      fields.number("weight", &cost[1], 0, 1, "seconds of an element of weights");
      fields.number("element", &cost[2], 0, 1, "seconds of an element of rows");
      fields.number("call", &cost[3], 0, 1e6, "seconds of a call");
      fields.text("classes", &classes,
                  "shapes of a call (flops weights elements) and their ratios");
    }
  };
};

Machine h100() {
  Machine m;
  m.name = "h100";
  m.source =
      "data sheet (SXM): 989 TFLOP/s dense bfloat16, 3.35 TB/s, 80 GB, NVLink 450 GB/s a "
      "direction, one 400 Gbit/s adapter a GPU; share of the rate: assumed";
  m.flops = 989e12;
  m.flops_fp32 = 67e12;
  m.efficiency = 0.45;
  m.memory_rate = 3.35e12 * 0.8;
  m.memory_bytes = 80e9;
  m.op_seconds = 5e-6;
  m.ranks_per_host = 8;
  m.link_within = 350e9;
  m.link_between = 40e9;
  m.latency_within = 5e-6;
  m.latency_between = 1e-5;
  m.message_seconds = 5e-7;
  m.disk_rate = 1e9;
  m.base_bytes = 1.5e9;
  return m;
}

Machine h200() {
  Machine m = h100();
  m.name = "h200";
  m.source = "as h100, with 141 GB at 4.8 TB/s";
  m.memory_rate = 4.8e12 * 0.8;
  m.memory_bytes = 141e9;
  return m;
}

Machine tpu_v3_core() {
  Machine m;
  m.name = "tpu_v3_core";
  m.source =
      "half of a TPU v3 chip: 123 TFLOP/s bfloat16, 32 GB at 900 GB/s, four links of 70 "
      "GB/s; shares of the rates: assumed";
  m.flops = 61.5e12;
  m.flops_fp32 = 61.5e12 / 6;
  m.efficiency = 0.45;
  m.memory_rate = 450e9 * 0.8;
  m.memory_bytes = 16e9;
  m.op_seconds = 2e-6;
  m.ranks_per_host = 8;
  m.link_within = 70e9;
  m.link_between = 35e9;  // a torus: messages of an all-to-all share its links
  m.latency_within = 1e-6;
  m.latency_between = 2e-6;
  m.message_seconds = 5e-8;
  m.disk_rate = 2e8;
  m.base_bytes = 0.5e9;
  return m;
}

Machine cpu_cluster() {
  Machine m;
  m.name = "cpu_cluster";
  m.source = "assumed: a rank on each of two sockets with AMX, 100 Gbit/s a host";
  m.flops = 60e12;
  m.flops_fp32 = 6e12;
  m.efficiency = 0.25;
  m.memory_rate = 200e9;
  m.memory_bytes = 256e9;
  m.op_seconds = 2e-5;
  m.ranks_per_host = 2;
  m.link_within = 20e9;
  m.link_between = 5e9;
  m.latency_within = 2e-6;
  m.latency_between = 2e-5;
  m.message_seconds = 1e-6;
  m.disk_rate = 5e8;
  m.base_bytes = 0.15e9;
  m.heap_gaps = 0.5;
  return m;
}

std::array<std::string, kNumOpKinds> classes_text(const ShapeClasses& classes) {
  std::array<std::string, kNumOpKinds> texts;
  for (size_t kind = 0; kind < texts.size(); ++kind) {
    for (const ShapeClass& c : classes[kind]) {
      texts[kind] += format("{}{:.6g} {:.6g} {:.6g} {:.6g}", texts[kind].empty() ? "" : "; ",
                            c.flops, c.weights, c.elements, c.ratio);
    }
  }
  return texts;
}

/// "flops weights elements ratio"; false if it is not that.
bool parse_class(const std::string& text, ShapeClass& c) {
  std::istringstream words(text);
  words.imbue(std::locale::classic());
  std::string rest;
  if (!(words >> c.flops >> c.weights >> c.elements >> c.ratio) || words >> rest) return false;
  return c.flops >= 0 && c.weights >= 0 && c.elements >= 0 && c.ratio > 0;
}

ShapeClasses parse_classes(const std::array<std::string, kNumOpKinds>& texts,
                           const std::string& where) {
  ShapeClasses classes;
  for (size_t kind = 0; kind < texts.size(); ++kind) {
    std::istringstream list(texts[kind]);
    for (std::string part; std::getline(list, part, ';');) {
      ShapeClass one;
      if (!parse_class(part, one)) {
        throw usage_error(format("the classes of {} are not numbers by fours",
                                 op_kind_name(static_cast<OpKind>(kind))),
                          where, "measure them with --calibrate");
      }
      classes[kind].push_back(one);
    }
  }
  return classes;
}

bool known(const OpCost& cost) {
  return std::any_of(cost.begin(), cost.end(), [](double c) { return c > 0; });
}

/// A machine and the texts that stand for its classes in a file.
class MachineFile {
 public:
  explicit MachineFile(Machine machine)
      : machine_(std::move(machine)),
        narrow_(classes_text(machine_.classes_bf16)),
        wide_(classes_text(machine_.classes_fp32)) {}
  FieldList fields() {
    FieldList fields;
    machine_.list_fields(fields);
    CostSection narrow{machine_.costs_bf16, narrow_}, wide{machine_.costs_fp32, wide_};
    fields.section("bf16", narrow);
    fields.section("fp32", wide);
    return fields;
  }
  Machine machine(const std::string& where) const {
    Machine result = machine_;
    result.classes_bf16 = parse_classes(narrow_, where);
    result.classes_fp32 = parse_classes(wide_, where);
    return result;
  }

 private:
  Machine machine_;
  std::array<std::string, kNumOpKinds> narrow_, wide_;
};

}  // namespace

void Machine::list_fields(FieldList& f) {
  f.text("name", &name, "what plans call it");
  f.text("source", &source, "where the numbers come from");
  f.number("flops", &flops, 1, kMost, "FLOP/s of a rank in bfloat16");
  f.number("flops_fp32", &flops_fp32, 0, kMost, "in float32; 0: a quarter of those");
  f.number("efficiency", &efficiency, 1e-4, 1, "share of them that the products of a step reach");
  f.number("memory_rate", &memory_rate, 1, kMost, "bytes/s of memory of a rank");
  f.number("memory_bytes", &memory_bytes, 0, kMost, "bytes of memory of a rank; 0: not known");
  f.number("op_seconds", &op_seconds, 0, 1, "seconds to start an operation");
  f.integer("ranks_per_host", &ranks_per_host, 1, 1 << 20, "ranks of a host");
  f.number("link_within", &link_within, 1, kMost, "bytes/s that a rank sends within its host");
  f.number("link_between", &link_between, 1, kMost, "bytes/s that a rank sends to other hosts");
  f.number("latency_within", &latency_within, 0, 1e3, "seconds of a message within a host");
  f.number("latency_between", &latency_between, 0, 1e3, "seconds of a message between hosts");
  f.number("message_seconds", &message_seconds, 0, 1e3,
           "seconds that each message of an all-to-all adds");
  f.number("disk_rate", &disk_rate, 1, kMost, "bytes/s that a rank writes of a checkpoint");
  f.number("base_bytes", &base_bytes, 0, kMost, "bytes of a process without a model");
  f.number("heap_gaps", &heap_gaps, 0, 10,
           "gaps of the heap between activations, as a share of these");
}

std::string Machine::to_toml() const {
  MachineFile file(*this);
  return file.fields().to_toml();
}

const std::vector<Machine>& known_machines() {
  static const std::vector<Machine> machines = {h100(), h200(), tpu_v3_core(), cpu_cluster()};
  return machines;
}

Machine load_machine(const std::string& name_or_file) {
  if (name_or_file.ends_with(".toml")) {
    MachineFile file{Machine()};
    file.fields().read_toml_file(name_or_file);
    return file.machine(name_or_file);
  }
  std::string names;
  for (const Machine& machine : known_machines()) {
    if (machine.name == name_or_file) return machine;
    names += (names.empty() ? "" : ", ") + machine.name;
  }
  throw usage_error(format("machine \"{}\" is not known", name_or_file), "--machine",
                    format("choose one of: this, {}; or a file that ends in .toml", names));
}

double op_seconds(const Op& op, const Machine& machine, bool wide, double load) {
  Work work = op.work;
  work.flops *= load;
  work.elements *= load;
  const OpCost& cost = machine.costs(wide)[static_cast<size_t>(op.kind)];
  if (known(cost)) {
    const auto& classes = machine.classes(wide)[static_cast<size_t>(op.kind)];
    return cost_seconds(cost, work) * class_ratio(classes, work);
  }
  // What is counted in elements alone is limited by memory; attention's flops are products too.
  const bool products = op.kind != OpKind::kRestForward && op.kind != OpKind::kRestBackward;
  const bool float32 = wide || op.kind == OpKind::kRouterLinearForward ||
                       op.kind == OpKind::kRouterInputGradient ||
                       op.kind == OpKind::kRouterWeightGradient;
  const double narrow_rate = machine.flops;
  const double wide_rate = machine.flops_fp32 > 0 ? machine.flops_fp32 : machine.flops / 4;
  const double rate = machine.efficiency * (float32 ? wide_rate : narrow_rate);
  const double computing = products ? work.flops / rate : 0;
  return std::max(computing, op.bytes / machine.memory_rate) + machine.op_seconds * work.calls;
}

}  // namespace switchyard
