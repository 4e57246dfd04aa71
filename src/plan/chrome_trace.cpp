#include "plan/chrome_trace.h"

#include <set>

#include <nlohmann/json.hpp>

#include "base/format.h"

namespace switchyard {
namespace {

constexpr double kMicroseconds = 1e6;

nlohmann::ordered_json name_event(const char* what, int64_t rank, int thread,
                                  const std::string& name) {
  return {{"name", what}, {"ph", "M"}, {"pid", rank}, {"tid", thread}, {"args", {{"name", name}}}};
}

std::string event_name(const Op& op) {
  if (!op.is_transfer()) return op_kind_name(op.kind);
  return format("{}: {}", collective_name(op.transfer.kind), op.detail);
}

nlohmann::ordered_json event_json(const Op& op, const TimelineEvent& event) {
  nlohmann::ordered_json arguments = {{"place", op.place}};
  if (!op.detail.empty()) arguments["of"] = op.detail;
  if (op.is_transfer()) {
    arguments["over"] = group_name(op.transfer.group);
    arguments["bytes"] = op.transfer.bytes;
  }
  if (op.repeat > 1) arguments["times"] = op.repeat;
  return {{"name", event_name(op)},
          {"cat", op.is_transfer() ? "transfer" : "compute"},
          {"ph", "X"},
          {"pid", event.rank},
          {"tid", op.is_transfer() ? 1 : 0},
          {"ts", event.begin * kMicroseconds},
          {"dur", (event.end - event.begin) * kMicroseconds},
          {"args", std::move(arguments)}};
}

}  // namespace

nlohmann::ordered_json chrome_trace(const StepProgram& program, const SimulationResult& result,
                                    const MemoryPlan& memory) {
  nlohmann::ordered_json events = nlohmann::ordered_json::array();
  std::set<int64_t> ranks;
  for (const TimelineEvent& event : result.timeline) ranks.insert(event.rank);
  for (const int64_t rank : ranks) {
    events.push_back(name_event("process_name", rank, 0, format("rank {}", rank)));
    events.push_back(name_event("thread_name", rank, 0, "computation"));
    events.push_back(name_event("thread_name", rank, 1, "transfers"));
  }
  for (const TimelineEvent& event : result.timeline) {
    events.push_back(event_json(program.ops[event.op], event));
    if (event.rank != 0 || event.op >= memory.moments.size()) continue;
    events.push_back({{"name", "memory"},
                      {"ph", "C"},
                      {"pid", 0},
                      {"ts", event.begin * kMicroseconds},
                      {"args", {{"bytes", memory.moments[event.op].bytes}}}});
  }
  return {{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}};
}

}  // namespace switchyard
