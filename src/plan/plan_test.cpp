// Whole plans: memory, traffic and time against arithmetic by hand.
#include "plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "plan/chrome_trace.h"
#include "plan/plan_record.h"
#include "plan/test_plans.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;
using testing::planned_recipe;
using testing::planned_request;

double bytes_of(const Plan& plan, const std::string& kind) {
  for (const MemoryKind& known : plan.memory.kinds) {
    if (known.name == kind) return known.bytes;
  }
  ADD_FAILURE() << kind;
  return 0;
}

const TrafficLine& line_of(const Plan& plan, const std::string& what) {
  for (const TrafficLine& line : plan.traffic) {
    if (line.what == what) return line;
  }
  ADD_FAILURE() << what;
  return plan.traffic.front();
}

std::vector<MeshConfig> meshes() {
  return {{1, 1, 1}, {4, 1, 1}, {1, 4, 1}, {1, 1, 4}, {2, 2, 1}, {1, 2, 2}, {2, 1, 2}, {2, 2, 2}};
}

TEST(Plan, MemoryAddsUpAndNothingIsKeptAfterBackward) {
  for (const MeshConfig& mesh : meshes()) {
    for (const bool recompute : {false, true}) {
      PlanRequest request = planned_request(mesh);
      request.recipe.train.recompute = recompute;
      const Plan plan = make_plan(request);
      double sum = 0, kept = 0;
      for (const MemoryKind& kind : plan.memory.kinds) sum += kind.bytes;
      EXPECT_DOUBLE_EQ(sum, plan.memory.peak) << mesh_text(mesh);
      for (const Op& op : plan.program.ops) kept += op.repeat * (op.keeps - op.frees);
      EXPECT_NEAR(kept, 0, 1e-3) << mesh_text(mesh) << " recompute " << recompute;
    }
  }
}

TEST(Plan, MemoryOfWeightsIsArithmetic) {
  const Plan plan = make_plan(planned_request());
  const auto count = static_cast<double>(plan.parameters);
  EXPECT_EQ(bytes_of(plan, "gradients, float32"), 4 * count);
  EXPECT_EQ(bytes_of(plan, "dense weights, float32") + bytes_of(plan, "expert weights, float32"),
            4 * count);
  // 2 layers of 8 experts of 2 * 64 * 128 weights.
  EXPECT_EQ(bytes_of(plan, "expert weights, float32"), 4.0 * 2 * 8 * 2 * 64 * 128);
}

TEST(Plan, RecomputationAndSmallerPassesNeedLessMemory) {
  PlanRequest request = planned_request();
  request.recipe.model.num_encoder_layers = 8;
  request.recipe.model.vocab_size = 64;
  const double whole = make_plan(request).memory.peak;
  request.recipe.train.recompute = true;
  const double recomputed = make_plan(request).memory.peak;
  EXPECT_LT(recomputed, whole);
  request.recipe.train.recompute = false;
  request.recipe.train.micro_batch_sequences = 4;
  const Plan small = make_plan(request);
  EXPECT_LT(small.memory.peak, whole);
  EXPECT_EQ(small.program.batch.micro_batches, 4);
}

TEST(Plan, SharedOptimizerStateShrinksWithReplicas) {
  PlanRequest request = planned_request({2, 2, 1});
  request.recipe.optimizer.kind = "adamw";
  const double whole = bytes_of(make_plan(request), "optimizer: first moments");
  request.options.shard_optimizer = true;
  const Plan plan = make_plan(request);
  const double dense = bytes_of(plan, "dense weights, float32");
  const double experts = bytes_of(plan, "expert weights, float32");
  EXPECT_EQ(whole, dense + experts);
  EXPECT_EQ(bytes_of(plan, "optimizer: first moments"), dense / 4 + experts / 2);
  EXPECT_EQ(line_of(plan, "updated weights").kind, Collective::kAllGather);
  EXPECT_EQ(line_of(plan, "gradients of dense weights").kind, Collective::kReduceScatter);
}

TEST(Plan, TrafficIsArithmetic) {
  PlanRequest request = planned_request({1, 4, 1});
  request.machine.ranks_per_host = 1;
  const Plan plan = make_plan(request);
  // 4 sequences a rank; 2 routed layers, dispatched forward and backward, 3 of 4 tokens leave.
  const double tokens = 4 * (64 + 14);
  EXPECT_DOUBLE_EQ(line_of(plan, "tokens").bytes.between, 2 * tokens * 64 * 2 * 0.75);
  EXPECT_DOUBLE_EQ(line_of(plan, "results of experts").bytes.between, 2 * tokens * 64 * 2 * 0.75);
  EXPECT_EQ(line_of(plan, "counts of tokens").calls, 4);
  // An all-reduce sends (n - 1) / n of the buffer twice.
  const double dense = bytes_of(plan, "dense weights, float32");
  EXPECT_DOUBLE_EQ(line_of(plan, "gradients of dense weights").bytes.between, dense * 1.5);
  for (const TrafficLine& line : plan.traffic) EXPECT_EQ(line.bytes.within, 0) << line.what;
}

TEST(Plan, EverythingWithinOneHostLeavesNone) {
  PlanRequest request = planned_request({2, 2, 2});
  request.machine.ranks_per_host = 8;
  for (const TrafficLine& line : make_plan(request).traffic) {
    EXPECT_EQ(line.bytes.between, 0) << line.what;
    EXPECT_GT(line.bytes.within, 0) << line.what;
  }
  request.machine.ranks_per_host = 2;  // the model's ranks
  const Plan plan = make_plan(request);
  EXPECT_EQ(line_of(plan, "partial sums of activations").bytes.between, 0);
  EXPECT_EQ(line_of(plan, "tokens").bytes.within, 0);
}

// Each dependency names an earlier operation.
TEST(Plan, OperationsComeAfterWhatTheyWaitFor) {
  for (const MeshConfig& mesh : meshes()) {
    PlanRequest request = planned_request(mesh);
    request.options.bucket_bytes = 1e4;
    request.recipe.train.micro_batch_sequences = 2;
    const Plan plan = make_plan(request);
    for (size_t i = 0; i < plan.program.ops.size(); ++i) {
      for (const size_t before : plan.program.ops[i].after) EXPECT_LT(before, i);
      if (plan.program.ops[i].kind != OpKind::kExpertsForward || mesh.expert == 1) continue;
      ASSERT_EQ(plan.program.ops[i].after.size(), 1u);
      EXPECT_EQ(plan.program.ops[plan.program.ops[i].after[0]].detail, "tokens");
    }
  }
}

TEST(Plan, ReducesEachGradientOnce) {
  PlanRequest request = planned_request({2, 2, 1});
  request.options.bucket_bytes = 1e4;
  const Plan plan = make_plan(request);
  double dense = 0, experts = 0;
  for (const Op& op : plan.program.ops) {
    if (op.detail == "gradients of dense weights") dense += op.transfer.bytes;
    if (op.detail == "gradients of experts") experts += op.transfer.bytes;
  }
  EXPECT_EQ(dense, bytes_of(plan, "dense weights, float32"));
  EXPECT_EQ(experts, bytes_of(plan, "expert weights, float32"));
}

TEST(Plan, WorkOfProductsIsThatOfTheModel) {
  PlanRequest request = planned_request();
  request.recipe.model.moe.num_experts = 0;
  const Plan plan = make_plan(request);
  double flops = 0;
  for (const Op& op : plan.program.ops) {
    if (op.kind == OpKind::kLinearForward) flops += op.work.flops;
  }
  const double d = 64, ff = 128, s = 16 * 64, t = 16 * 14;
  const double encoder = s * (4 * d * d + 2 * d * ff);
  const double decoder = t * (6 * d * d + 2 * d * ff) + s * 2 * d * d;  // keys, values: of inputs
  EXPECT_DOUBLE_EQ(flops, 2 * 2 * (encoder + decoder));
}

TEST(Plan, RecordsHoldThePlan) {
  const PlanRequest request = planned_request({1, 2, 1});
  const Plan plan = make_plan(request);
  const nlohmann::ordered_json json = plan_json(request, plan);
  EXPECT_EQ(json["parameters"], plan.parameters);
  EXPECT_EQ(json["peak_memory"], plan.memory.peak);
  EXPECT_EQ(json["traffic"].size(), plan.traffic.size());
  const std::string text = plan_text(request, plan);
  EXPECT_THAT(text, HasSubstr("data 1 x expert 2 x model 1"));
  EXPECT_THAT(text, HasSubstr("all-to-all"));
}

TEST(Plan, ChromeTraceShowsBothStreams) {
  const PlanRequest request = planned_request({1, 2, 1});
  const Plan plan = make_plan(request);
  const SimulationResult result = simulate(plan.program, request.mesh, request.machine, false, {});
  const nlohmann::ordered_json trace = chrome_trace(plan.program, result, plan.memory);
  bool computing = false, transfers = false, memory = false;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == "C") memory = true;
    if (event["ph"] != "X") continue;
    EXPECT_GT(event["dur"].get<double>(), 0);
    (event["tid"] == 0 ? computing : transfers) = true;
  }
  EXPECT_TRUE(computing && transfers && memory);
}

}  // namespace
}  // namespace switchyard
