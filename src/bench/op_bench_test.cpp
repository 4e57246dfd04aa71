#include "bench/op_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "bench/op_timer.h"
#include "tests/error_of.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> names(const std::vector<OpCase>& cases) {
  std::vector<std::string> all;
  for (const OpCase& c : cases) all.push_back(c.name);
  return all;
}

TEST(OpCases, AreNamedOnceAndSayWhatTheyDo) {
  std::set<std::string> seen;
  for (const OpCase& c : all_op_cases()) {
    EXPECT_TRUE(seen.insert(c.name).second) << c.name;
    EXPECT_LE(c.name.size(), 39u) << c.name;  // the table's column
    EXPECT_TRUE(c.type == "bf16" || c.type == "fp32") << c.name;
    EXPECT_GT(c.work.bytes, 0) << c.name;
    EXPECT_LE(c.work.weight_bytes, c.work.bytes) << c.name;
    EXPECT_GE(c.memory, c.work.weight_bytes / 2) << c.name;
  }
  for (const char* name : {"experts/8x16/d128/fwd", "experts/128x256/d768/fwd+bwd",
                           "experts/8x256/d256/skewed/fwd+bwd", "attention/8x512/12x64/fwd+bwd"}) {
    EXPECT_EQ(seen.count(name), 1u) << name;
  }
}

TEST(OpCases, AreSelectedByPartsOfTheirNames) {
  std::vector<OpCase> cases(3);
  cases[0].name = "norm/8/fwd";
  cases[1].name = "norm/8/fwd+bwd";
  cases[2].name = "router/9/fwd";
  using List = std::vector<std::string>;
  EXPECT_EQ(names(select_cases(cases, {})), names(cases));
  EXPECT_EQ(names(select_cases(cases, {"norm"})), (List{"norm/8/fwd", "norm/8/fwd+bwd"}));
  EXPECT_EQ(names(select_cases(cases, {"bwd", "9"})), (List{"norm/8/fwd+bwd", "router/9/fwd"}));
  const Error error = testing::error_of([&] { select_cases(cases, {"norm", "atention"}); });
  EXPECT_EQ(error.exit_code(), 2);
  EXPECT_EQ(error.what_part(), "no operation has \"atention\" in its name");
  EXPECT_THAT(error.hint_part(), HasSubstr("operations: norm, router"));
}

// A ratio of times means something only if both sides do the same.
void expect_same_results(const std::vector<std::string>& only) {
  for (const OpCase& c : select_cases(all_op_cases(), only)) {
    if (c.name.ends_with("+bwd")) continue;  // the same result again
    const OpPair pair = c.prepare();
    const at::Tensor result = pair.ours();
    const at::Tensor ours = result.to(at::kFloat), plain = pair.reference().to(at::kFloat);
    ASSERT_EQ(ours.sizes(), plain.sizes()) << c.name;
    // bfloat16 keeps 8 bits, and the two round in different places.
    const double allowed = result.scalar_type() == at::kBFloat16 ? 3e-2 : 1e-3;
    EXPECT_LE((ours - plain).abs().max().item<double>(), allowed * plain.abs().max().item<double>())
        << c.name;
  }
}

// All but dropout, which draws other numbers.
TEST(OpCases, BothSidesGiveTheSame) {
  expect_same_results({"gemm/bf16/8192x256x256/", "gemm/fp32/8192x256x256/", "attention/32x256",
                       "experts/8x16/d128", "8x256/d256/skewed", "router/", "rms_norm/8192",
                       "embedding/8192", "cross_entropy/2048"});
}

TEST(OptimizerCases, BothSidesGiveTheSame) { expect_same_results({"adafactor/", "adamw/"}); }

TEST(OpTimer, TakesTurnsAndCounts) {
  std::string order;
  const auto adding = [&](char letter) {
    return [&order, letter] {
      order += letter;
      return at::Tensor();
    };
  };
  const OpPair pair{adding('a'), adding('b')};
  const PairTimes times = time_pair(pair, 0.0);
  EXPECT_EQ(times.repeats, 5);
  EXPECT_EQ(order, "abababababab");  // the first two are not counted
}

TEST(Judge, TheTighterLimitDecides) {
  const OpLimits limits{1e12, 1e11, {2e10, 1e10}};
  const auto judged = [&](const std::string& type, const OpWork& work) {
    OpMeasurement measurement;
    measurement.type = type;
    measurement.work = work;
    measurement.seconds = 0.01;
    judge(measurement, limits);
    return std::pair{measurement.limit, measurement.share};
  };
  EXPECT_EQ(judged("bf16", {5e9, 2e6, 0}), (std::pair<std::string, double>{"gemm", 0.5}));
  EXPECT_EQ(judged("fp32", {5e8, 2e6, 0}), (std::pair<std::string, double>{"gemm", 0.5}));
  EXPECT_EQ(judged("bf16", {5e8, 1e8, 0}), (std::pair<std::string, double>{"memory", 0.5}));
  EXPECT_EQ(judged("bf16", {5e8, 1e8, 6e7}), (std::pair<std::string, double>{"weights", 0.5}));
}

TEST(MemoryRates, ArePlausible) {
  const MemoryRates rates = measure_memory_rates(1 << 22, 0.01);
  for (const double rate : {rates.read, rates.copy}) {
    EXPECT_GT(rate, 1e7);
    EXPECT_LT(rate, 1e14);
  }
  EXPECT_GE(uncached_working_set(), 1 << 20);
}

TEST(OpBench, SmallOperationsAreMeasured) {
  const std::vector<std::string> only = {"dropout/8192x256",        "rms_norm/8192x256",
                                         "router/8192x8",           "experts/8x16/d128",
                                         "gemm/fp32/8192x256x256/", "embedding/8192x256"};
  const OpBenchResult result = run_op_bench({only, 0.005, 1 << 22});
  EXPECT_EQ(result.ops.size() + result.skipped.size(), 11u);
  EXPECT_TRUE(result.skipped.empty());
  for (const OpMeasurement& op : result.ops) {
    for (const double value : {op.seconds, op.reference_seconds, op.share, op.ratio()}) {
      EXPECT_TRUE(std::isfinite(value) && value > 0) << op.name;
    }
    EXPECT_GE(op.repeats, 5) << op.name;
  }
}

}  // namespace
}  // namespace switchyard
