// Machines as files, and costs from measured times.
#include "plan/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "plan/cost_fit.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;

TEST(Machine, ComesBackFromItsFile) {
  Machine machine = load_machine("tpu_v3_core");
  machine.costs_bf16[static_cast<size_t>(OpKind::kAdamW)] = {0, 1e-9, 2e-9, 3e-6};
  machine.classes_fp32[static_cast<size_t>(OpKind::kLinearForward)] = {{1e8, 2e4, 3e5, 1.25},
                                                                       {1e7, 2e3, 3e4, 0.5}};
  const testing::TemporaryFolder folder;
  write_file(folder / "m.toml", machine.to_toml());
  const Machine read = load_machine(folder / "m.toml");
  EXPECT_EQ(read.to_toml(), machine.to_toml());
  EXPECT_EQ(read.costs_bf16, machine.costs_bf16);
  EXPECT_EQ(read.classes_fp32[static_cast<size_t>(OpKind::kLinearForward)].size(), 2u);
}

TEST(Machine, DamagedClassesAreRefused) {
  const testing::TemporaryFolder folder;
  for (const char* classes : {"1 2 3", "1 2 3 4 5", "1 2 3 4, 5 6 7 8", "1 2 3 -4", "one"}) {
    write_file(folder / "m.toml", std::string("[bf16.adamw]\nclasses = \"") + classes + "\"\n");
    const Error error = testing::error_of([&] { load_machine(folder / "m.toml"); });
    EXPECT_THAT(error.what(), HasSubstr("the classes of adamw are not numbers by fours"))
        << classes;
  }
}

TEST(Machine, AllKnownOnesSaySomethingOfTheirSource) {
  for (const Machine& machine : known_machines()) {
    EXPECT_EQ(load_machine(machine.name).source, machine.source);
    EXPECT_FALSE(machine.source.empty());
  }
  EXPECT_THAT(testing::error_of([] { load_machine("h1000"); }).what(),
              HasSubstr("choose one of: this, h100, h200, tpu_v3_core, cpu_cluster"));
}

TEST(Machine, TimeIsOfTheNarrowerLimit) {
  Machine machine;
  machine.flops = 100;
  machine.efficiency = 0.5;
  machine.memory_rate = 10;
  machine.op_seconds = 1;
  Op op;
  op.kind = OpKind::kLinearForward;
  op.work = {200, 0, 0, 1};
  op.bytes = 30;
  EXPECT_DOUBLE_EQ(op_seconds(op, machine, false), 1 + 4);
  op.bytes = 60;
  EXPECT_DOUBLE_EQ(op_seconds(op, machine, false), 1 + 6);
  machine.costs_bf16[static_cast<size_t>(op.kind)] = {0.5, 0, 0, 7};
  EXPECT_DOUBLE_EQ(op_seconds(op, machine, false), 107);
  EXPECT_DOUBLE_EQ(op_seconds(op, machine, false, 2), 207);
}

TEST(CostFit, FindsTheCostsThatMadeTheTimes) {
  const OpCost made = {3e-12, 0, 5e-10, 2e-6};
  std::vector<CostSample> samples;
  for (int i = 0; i < 12; ++i) {
    const Work work{1e8 * (1 + i % 5), 1e5 * (i % 3), 1e5 * (1 + i * i % 7), 1.0 + i % 2};
    const std::array<double, 4> terms = work.terms();
    double seconds = 0;
    for (size_t t = 0; t < terms.size(); ++t) seconds += made[t] * terms[t];
    samples.push_back({work, seconds});
  }
  const OpCost found = fit_cost(samples);
  for (size_t t = 0; t < made.size(); ++t) EXPECT_NEAR(found[t], made[t], 1e-3 * made[t] + 1e-15);
}

// Small calls take twice as long as the costs say; large ones as long.
TEST(CostFit, ClassesCorrectShapesNearThem) {
  const OpCost cost = {1e-9, 0, 0, 0};
  const Work small{1e5, 1e3, 1e3, 1}, large{1e9, 1e6, 1e6, 1};
  const auto classes = fit_classes({{2 * small, 4e-4}, {small, 2e-4}, {large, 1}}, cost);
  ASSERT_EQ(classes.size(), 2u);
  EXPECT_NEAR(class_ratio(classes, small), 2, 0.05);
  EXPECT_NEAR(class_ratio(classes, 3 * small), 2, 0.05);  // three calls
  EXPECT_NEAR(class_ratio(classes, large), 1, 0.01);
  EXPECT_NEAR(class_ratio(classes, {1e2, 1, 1, 1}), 1, 0.01);  // far from all
  EXPECT_EQ(class_ratio({}, small), 1);
}

TEST(CostFit, CostsAreNeverNegative) {
  // More elements took less time.
  const OpCost cost = fit_cost({{{0, 0, 10, 1}, 2}, {{0, 0, 20, 1}, 1}});
  for (const double c : cost) EXPECT_GE(c, 0);
  EXPECT_EQ(fit_cost({}), OpCost{});
}

}  // namespace
}  // namespace switchyard
