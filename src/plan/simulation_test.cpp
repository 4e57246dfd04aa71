// Simulated steps, failures and searches.
#include "plan/simulation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "plan/failures.h"
#include "plan/search.h"
#include "plan/test_plans.h"

namespace switchyard {
namespace {

using testing::planned_request;

/// An operation of one second.
Op second(std::vector<size_t> after = {}) {
  Op op;
  op.kind = OpKind::kRestForward;
  op.bytes = 1;
  op.after = std::move(after);
  return op;
}

/// A transfer of two seconds between two ranks.
Op two_seconds(bool overlaps, std::vector<size_t> after = {}) {
  Op op;
  op.transfer = {Collective::kAllToAll, RankGroup::kExpert, 4};
  op.overlaps = overlaps;
  op.after = std::move(after);
  return op;
}

Machine slow_machine() {
  Machine machine;
  machine.memory_rate = machine.link_within = machine.link_between = 1;
  machine.latency_within = machine.latency_between = machine.message_seconds = 0;
  return machine;
}

SimulatedStep step_of(const std::vector<Op>& ops, const SimulationOptions& options = {}) {
  StepProgram program;
  program.ops = ops;
  return simulate(program, {1, 2, 1}, slow_machine(), false, options).steps.back();
}

TEST(Simulation, StreamsOverlapAsTheyMay) {
  EXPECT_DOUBLE_EQ(step_of({second(), two_seconds(false), second()}).seconds, 4);
  EXPECT_DOUBLE_EQ(step_of({second(), two_seconds(true, {0}), second(), second()}).seconds, 3);
  EXPECT_DOUBLE_EQ(step_of({second(), two_seconds(true, {0}), second(), second({1})}).seconds, 4);
  // It starts when what it waits for is done, however long computation goes on.
  EXPECT_DOUBLE_EQ(step_of({second(), second(), two_seconds(true, {0})}).seconds, 3);
  // Two transfers share one stream.
  EXPECT_DOUBLE_EQ(step_of({two_seconds(true), two_seconds(true), second({0})}).seconds, 4);
  const SimulatedStep waited = step_of({second(), two_seconds(false), second()});
  EXPECT_DOUBLE_EQ(waited.computing, 2);
  EXPECT_DOUBLE_EQ(waited.waiting, 2);
}

TEST(Simulation, ACollectiveWaitsForTheSlowest) {
  SimulationOptions options;
  options.slow_share = 1;
  options.slow_factor = 3;
  EXPECT_DOUBLE_EQ(step_of({second(), two_seconds(false), second()}, options).seconds, 8);
  options.slow_share = 0;
  options.straggling = 0.5;
  const SimulatedStep step = step_of({second(), two_seconds(false), second()}, options);
  EXPECT_GT(step.seconds, step.computing + 2);
}

TEST(Simulation, EvenRanksAreAsOneOfThem) {
  for (const MeshConfig& mesh : {MeshConfig{2, 4, 1}, {1, 4, 2}, {2, 2, 2}}) {
    const PlanRequest request = planned_request(mesh);
    const Plan plan = make_plan(request);
    const SimulationResult all = simulate(plan.program, mesh, request.machine, false, {});
    EXPECT_EQ(all.ranks, 8);
    EXPECT_NEAR(all.mean, plan.step_seconds, 1e-12 + 1e-9 * all.mean) << mesh_text(mesh);
  }
}

TEST(Simulation, SkewDropsBeyondCapacityAndTakesLonger) {
  const PlanRequest request = planned_request({1, 8, 1});
  const Plan plan = make_plan(request);
  SimulationOptions options;
  options.skew = 1;
  options.steps = 3;
  const auto run = [&] {
    return simulate(plan.program, request.mesh, request.machine, false, options);
  };
  const SimulationResult free = run();
  EXPECT_EQ(free.dropped_share, 0);
  EXPECT_GT(free.mean, plan.step_seconds);
  EXPECT_EQ(run().mean, free.mean);  // the seed decides
  options.seed = 2;
  EXPECT_NE(run().mean, free.mean);
  options.seed = 1;
  options.capacity = 1.25;
  const SimulationResult capped = run();
  EXPECT_GT(capped.dropped_share, 0.05);
  EXPECT_LT(capped.mean, free.mean);
}

TEST(Simulation, OverlapOfTheAllToAllSaves) {
  PlanRequest request = planned_request({1, 8, 1});
  // The experts' products and their tokens take about as long.
  request.machine.flops = 4e9;
  request.machine.link_within = request.machine.link_between = 1e6;
  request.machine.message_seconds = request.machine.latency_within = 0;
  request.machine.latency_between = 0;
  request.options.chunks = 1;
  const double apart = make_plan(request).step_seconds;
  request.options.chunks = 4;
  EXPECT_LT(make_plan(request).step_seconds, apart);
}

TEST(Simulation, TimelineShowsRanksOnce) {
  const PlanRequest request = planned_request({1, 8, 1});
  const Plan plan = make_plan(request);
  SimulationOptions options;
  options.straggling = 0.3;
  const SimulationResult result =
      simulate(plan.program, request.mesh, request.machine, false, options);
  std::vector<double> free(16, 0.0);
  for (const TimelineEvent& event : result.timeline) {
    const bool transfer = plan.program.ops[event.op].is_transfer();
    double& stream = free[static_cast<size_t>(2 * event.rank + (transfer ? 1 : 0))];
    EXPECT_GE(event.begin, stream);
    stream = event.end;
  }
}

TEST(Failures, IntervalIsYoungsAndDalys) {
  FailureOptions options;
  options.rank_mtbf_seconds = 1e6 * 100;
  options.ranks = 100;
  options.save_seconds = 100;
  options.step_seconds = 10;
  options.restart_seconds = 600;
  const FailurePlan plan = plan_failures(options);
  EXPECT_DOUBLE_EQ(plan.mtbf_seconds, 1e6);
  EXPECT_NEAR(plan.young_seconds, std::sqrt(2e8), 1e-6);
  EXPECT_NEAR(plan.daly_seconds, plan.young_seconds - 100 + 100.0 / 3, 1);
  EXPECT_EQ(plan.interval_steps, std::llround(plan.daly_seconds / 10));
}

TEST(Failures, TheSimulatedRunAgreesWithTheModelAndTheIntervalIsBest) {
  FailureOptions options;
  options.rank_mtbf_seconds = 20000;
  options.save_seconds = 50;
  options.step_seconds = 1;
  options.restart_seconds = 300;
  options.steps = 20000000;
  const FailurePlan plan = plan_failures(options);
  EXPECT_GT(plan.failures, 500);
  EXPECT_NEAR(plan.simulated_share, plan.expected_share, 0.01);
  options.steps = 1000;
  options.rank_mtbf_seconds = 10;
  EXPECT_EQ(plan_failures(options).failures, 10000);  // gives up
}

TEST(Search, FindsTheFastestThatFits) {
  PlanRequest request = planned_request();
  request.machine.memory_bytes = 0;
  const SearchResult all = search_meshes(request, {8, 0});
  ASSERT_GT(all.fitting.size(), 3u);
  for (const FoundMesh& found : all.fitting) {
    EXPECT_EQ(num_ranks(found.mesh), 8);
    EXPECT_GE(found.step_seconds, all.fitting.front().step_seconds);
  }
  const double limit = 0.999 * all.fitting.front().peak_memory;
  for (const FoundMesh& found : search_meshes(request, {8, limit}).fitting) {
    EXPECT_LE(found.peak_memory, limit);
  }
  const SearchResult none = search_meshes(request, {8, 1});
  EXPECT_TRUE(none.fitting.empty());
  EXPECT_GT(none.smallest.micro, 0);
}

}  // namespace
}  // namespace switchyard
