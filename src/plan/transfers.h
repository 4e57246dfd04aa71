// Ranks, hosts and the time of transfers between them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/machine.h"
#include "plan/step_program.h"

namespace switchyard {

/// Ranks are numbered with `model` fastest, then `expert`, then `data`; consecutive ranks share
/// hosts.
struct GroupShape {
  int64_t ranks = 1;     // of the group
  int64_t per_host = 1;  // of them on one host; divides `ranks` or is the last host's most
  int64_t hosts() const { return (ranks + per_host - 1) / per_host; }
};
GroupShape group_shape(RankGroup group, const MeshConfig& mesh, int64_t ranks_per_host);

/// Bytes that a rank sends, to its own host and to others.
struct SentBytes {
  double within = 0, between = 0;
};
SentBytes sent_bytes(const Transfer& transfer, const GroupShape& shape);

/// Seconds of a transfer, once; reductions go within hosts first. `load`: the fullest receiver of
/// an all-to-all relative to the mean.
double transfer_seconds(const Transfer& transfer, const GroupShape& shape, const Machine& machine,
                        double load = 1);

/// What a rank sends in a step, by what it carries.
struct TrafficLine {
  std::string what;  // "tokens"
  Collective kind = Collective::kNone;
  RankGroup group = RankGroup::kData;
  int64_t ranks = 1;
  double calls = 0;
  SentBytes bytes;
  double seconds = 0;  // if nothing else used the links
};
std::vector<TrafficLine> plan_traffic(const StepProgram& program, const MeshConfig& mesh,
                                      const Machine& machine);

}  // namespace switchyard
