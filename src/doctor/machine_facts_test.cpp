#include "doctor/machine_facts.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

class MachineFactsTest : public ::testing::Test {
 protected:
  FactSources sources() {
    FactSources sources;
    sources.proc = folder_ / "proc";
    sources.sys = folder_ / "sys";
    sources.folder = folder_.path();
    sources.environment = [this](const char* name) -> const char* {
      const auto found = environment_.find(name);
      return found == environment_.end() ? nullptr : found->second.c_str();
    };
    return sources;
  }

  testing::TemporaryFolder folder_;
  std::map<std::string, std::string> environment_;
};

TEST_F(MachineFactsTest, AnEmptyMachineKeepsTheDefaults) {
  const MachineFacts facts = read_machine_facts(sources());
  EXPECT_EQ(facts.load, 0);
  EXPECT_EQ(facts.memory_nodes, 1);
  EXPECT_EQ(facts.machine_memory, 0u);
  EXPECT_EQ(facts.huge_pages, "");
  EXPECT_TRUE(facts.gpus.empty());
  EXPECT_EQ(facts.mpirun, "");
  EXPECT_TRUE(facts.environment.empty());
  EXPECT_GE(facts.available_cores, 1);
  EXPECT_LE(facts.used_isa, facts.detected_isa);
  EXPECT_GT(facts.free_disk, 0u);
  EXPECT_TRUE(facts.folder_is_writable);
}

TEST_F(MachineFactsTest, ReadsWhatTheKernelWrites) {
  folder_.put("proc/meminfo",
              "MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:    8192 kB\n");
  folder_.put("proc/loadavg", "1.75 0.50 0.25 3/123 4567\n");
  folder_.put("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  for (const char* node : {"node0", "node1", "node12"}) {
    folder_.put(std::string("sys/devices/system/node/") + node + "/cpulist", "0\n");
  }
  folder_.put("sys/devices/system/node/nodes_with_memory/x", "");
  folder_.put("proc/driver/nvidia/gpus/0000:01:00.0/information",
              "Model: \t\t NVIDIA H100\nIRQ: 3\n");
  const MachineFacts facts = read_machine_facts(sources());
  EXPECT_EQ(facts.machine_memory, 16384u * 1024);
  EXPECT_EQ(facts.free_memory, 8192u * 1024);
  EXPECT_DOUBLE_EQ(facts.load, 1.75);
  EXPECT_EQ(facts.huge_pages, "madvise");
  EXPECT_EQ(facts.memory_nodes, 3);
  EXPECT_EQ(facts.gpus, std::vector<std::string>{"NVIDIA H100"});
}

TEST_F(MachineFactsTest, KeepsTheVariablesThatMatter) {
  environment_ = {{"OMP_NUM_THREADS", "3"}, {"EDITOR", "vi"}};
  const MachineFacts facts = read_machine_facts(sources());
  EXPECT_EQ(facts.environment, (std::map<std::string, std::string>{{"OMP_NUM_THREADS", "3"}}));
}

TEST_F(MachineFactsTest, FindsMpirunInThePath) {
  folder_.put("bin/mpirun", "#!/bin/sh\n");
  ASSERT_EQ(::chmod((folder_ / "bin/mpirun").c_str(), 0755), 0);
  environment_["PATH"] = "/nowhere::" + (folder_ / "bin");
  EXPECT_EQ(read_machine_facts(sources()).mpirun, folder_ / "bin/mpirun");
}

TEST_F(MachineFactsTest, NonsenseIsNoReasonToFail) {
  folder_.put("proc/meminfo", "MemTotal: many kB\n");
  folder_.put("proc/loadavg", "\n");
  folder_.put("sys/kernel/mm/transparent_hugepage/enabled", "]always[\n");
  const MachineFacts facts = read_machine_facts(sources());
  EXPECT_EQ(facts.machine_memory, 0u);
  EXPECT_EQ(facts.load, 0);
  EXPECT_EQ(facts.huge_pages, "");
}

}  // namespace
}  // namespace switchyard
