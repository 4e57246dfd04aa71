#include "plan/transfers.h"

#include <algorithm>
#include <cmath>

namespace switchyard {
namespace {

bool reduces(Collective kind) { return kind != Collective::kAllToAll; }

/// Passes of (n - 1) / n of the buffer: a reduction that everybody gets is two.
double passes(Collective kind) { return kind == Collective::kAllReduce ? 2 : 1; }

}  // namespace

GroupShape group_shape(RankGroup group, const MeshConfig& mesh, int64_t ranks_per_host) {
  GroupShape shape;
  int64_t stride = 1;  // between neighbours of the group
  switch (group) {
    case RankGroup::kModel:
      shape.ranks = mesh.model;
      break;
    case RankGroup::kExpert:
      shape.ranks = mesh.expert;
      stride = mesh.model;
      break;
    case RankGroup::kData:
      shape.ranks = mesh.data;
      stride = mesh.model * mesh.expert;
      break;
    case RankGroup::kReplicas:
      shape.ranks = mesh.data * mesh.expert;
      stride = mesh.model;
      break;
  }
  shape.per_host = std::clamp<int64_t>(ranks_per_host / stride, 1, shape.ranks);
  return shape;
}

SentBytes sent_bytes(const Transfer& transfer, const GroupShape& shape) {
  const auto n = static_cast<double>(shape.ranks), near = static_cast<double>(shape.per_host);
  if (shape.ranks == 1) return {};
  if (!reduces(transfer.kind)) {
    return {transfer.bytes * (near - 1) / n, transfer.bytes * (n - near) / n};
  }
  // Within hosts the whole buffer, between hosts each rank's part of it.
  const double factor = passes(transfer.kind);
  const auto hosts = static_cast<double>(shape.hosts());
  return {factor * transfer.bytes * (near - 1) / near,
          factor * transfer.bytes / near * (hosts - 1) / hosts};
}

double transfer_seconds(const Transfer& transfer, const GroupShape& shape, const Machine& machine,
                        double load) {
  if (shape.ranks == 1) return 0;
  const SentBytes sent = sent_bytes(transfer, shape);
  const double within = sent.within / machine.link_within,
               between = sent.between / machine.link_between;
  if (!reduces(transfer.kind)) {
    const double latency = shape.hosts() > 1 ? machine.latency_between : machine.latency_within;
    return load * std::max(within, between) + latency +
           machine.message_seconds * static_cast<double>(shape.ranks - 1);
  }
  // Trees of messages, within a host and between hosts.
  const double near = std::ceil(std::log2(static_cast<double>(shape.per_host)));
  const double far = std::ceil(std::log2(static_cast<double>(shape.hosts())));
  return within + between +
         passes(transfer.kind) * (near * machine.latency_within + far * machine.latency_between);
}

std::vector<TrafficLine> plan_traffic(const StepProgram& program, const MeshConfig& mesh,
                                      const Machine& machine) {
  std::vector<TrafficLine> lines;
  for (const Op& op : program.ops) {
    if (!op.is_transfer()) continue;
    auto line = std::find_if(lines.begin(), lines.end(), [&](const TrafficLine& known) {
      return known.what == op.detail && known.kind == op.transfer.kind &&
             known.group == op.transfer.group;
    });
    const GroupShape shape = group_shape(op.transfer.group, mesh, machine.ranks_per_host);
    if (line == lines.end()) {
      lines.push_back({op.detail, op.transfer.kind, op.transfer.group, shape.ranks, 0, {}, 0});
      line = std::prev(lines.end());
    }
    const SentBytes sent = sent_bytes(op.transfer, shape);
    line->calls += op.repeat;
    line->bytes.within += op.repeat * sent.within;
    line->bytes.between += op.repeat * sent.between;
    line->seconds += op.repeat * transfer_seconds(op.transfer, shape, machine);
  }
  return lines;
}

}  // namespace switchyard
