#include "doctor/examination.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace switchyard {
namespace {

using Level = Finding::Level;

/// A machine with nothing to complain about.
MachineFacts good_machine() {
  MachineFacts facts;
  facts.processor = "Test 9000";
  facts.detected_isa = facts.used_isa = kernels::Isa::kAmxBf16;
  facts.machine_cores = facts.available_cores = 4;
  facts.machine_memory = facts.available_memory = facts.free_memory = uint64_t{16} << 30;
  facts.huge_pages = "always";
  facts.free_disk = uint64_t{100} << 30;
  facts.folder_is_writable = true;
  return facts;
}

constexpr MeasuredRates kGoodRates{2e12, 2e11};

/// The findings that are not good, as "level subject".
std::vector<std::string> complaints(const MachineFacts& facts,
                                    const MeasuredRates& rates = kGoodRates, int threads = 0) {
  std::vector<std::string> found;
  for (const Finding& finding : examine(facts, rates, threads)) {
    EXPECT_FALSE(finding.what.empty());
    EXPECT_EQ(finding.advice.empty(), finding.level == Level::kGood) << finding.what;
    if (finding.level != Level::kGood) {
      found.push_back(std::string(level_name(finding.level)) + " " + finding.subject);
    }
  }
  return found;
}

using List = std::vector<std::string>;

TEST(Examination, AGoodMachineHasNoComplaints) { EXPECT_EQ(complaints(good_machine()), List{}); }

TEST(Examination, WithoutMeasurementNothingIsSaidOfSpeed) {
  for (const Finding& finding : examine(good_machine(), {}, 0)) EXPECT_NE(finding.subject, "speed");
}

TEST(Examination, Processors) {
  MachineFacts facts = good_machine();
  facts.detected_isa = facts.used_isa = kernels::Isa::kAvx512Bf16;
  EXPECT_EQ(complaints(facts), List{});
  facts.detected_isa = facts.used_isa = kernels::Isa::kAvx2;
  EXPECT_EQ(complaints(facts), List{"note processor"});
  facts.detected_isa = facts.used_isa = kernels::Isa::kGeneric;
  EXPECT_EQ(complaints(facts), List{"problem processor"});
  facts = good_machine();
  facts.used_isa = kernels::Isa::kAvx2;
  EXPECT_EQ(complaints(facts), List{"note processor"});
}

TEST(Examination, Bfloat16ThatDoesNotPay) {
  EXPECT_EQ(complaints(good_machine(), {1e11, 1e11}), List{"note speed"});
}

TEST(Examination, Cores) {
  MachineFacts facts = good_machine();
  facts.available_cores = 1;
  EXPECT_EQ(complaints(facts), List{"note cores"});
  facts = good_machine();
  facts.core_limit = 3.5;
  EXPECT_EQ(complaints(facts), List{"note cores"});
  facts.core_limit = 4;
  EXPECT_EQ(complaints(facts), List{});
  facts.load = 1.01;
  EXPECT_EQ(complaints(facts), List{"note cores"});
  facts.load = 0.99;
  EXPECT_EQ(complaints(facts), List{});
  facts.memory_nodes = 2;
  EXPECT_EQ(complaints(facts), List{"note cores"});
  EXPECT_EQ(complaints(good_machine(), kGoodRates, 4), List{});
  EXPECT_EQ(complaints(good_machine(), kGoodRates, 5), List{"problem cores"});
}

TEST(Examination, LessThanOneCoreOfTimeStillNamesAThread) {
  MachineFacts facts = good_machine();
  facts.available_cores = 1;
  facts.core_limit = 0.5;
  const std::vector<Finding> findings = examine(facts, {}, 0);
  EXPECT_TRUE(std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.advice.find("--threads 1") != std::string::npos;
  }));
}

TEST(Examination, MemoryAndDisk) {
  MachineFacts facts = good_machine();
  facts.available_memory = uint64_t{1} << 30;
  EXPECT_EQ(complaints(facts), List{"problem memory"});
  facts = good_machine();
  facts.free_memory = uint64_t{1} << 30;
  EXPECT_EQ(complaints(facts), List{"problem memory"});
  facts = good_machine();
  facts.huge_pages = "never";
  facts.free_disk = uint64_t{1} << 30;
  EXPECT_EQ(complaints(facts), (List{"note memory", "note disk"}));
  facts.folder_is_writable = false;
  EXPECT_EQ(complaints(facts), (List{"note memory", "problem disk", "note disk"}));
}

TEST(Examination, Environment) {
  for (const char* name :
       {"OMP_NUM_THREADS", "GOMP_CPU_AFFINITY", "OMP_WAIT_POLICY", "ONEDNN_MAX_CPU_ISA"}) {
    MachineFacts facts = good_machine();
    facts.environment[name] = "7";
    EXPECT_EQ(complaints(facts), List{"note environment"}) << name;
  }
  MachineFacts facts = good_machine();
  facts.environment["LD_PRELOAD"] = "/usr/lib/libjemalloc.so:/usr/lib/libcompat.so";
  EXPECT_EQ(complaints(facts), List{});
  facts.environment["LD_PRELOAD"] = "/usr/lib/libiomp5.so";
  EXPECT_EQ(complaints(facts), List{"problem environment"});
}

TEST(Examination, Gpus) {
  MachineFacts facts = good_machine();
  facts.gpus = {"NVIDIA H100", "NVIDIA H100"};
  EXPECT_EQ(complaints(facts), List{"note GPU"});
}

}  // namespace
}  // namespace switchyard
