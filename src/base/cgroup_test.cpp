#include "base/cgroup.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

class CgroupTest : public ::testing::Test {
 protected:
  CgroupFiles files() const { return {folder_.path(), folder_ / "membership"}; }

  testing::TemporaryFolder folder_;
};

TEST_F(CgroupTest, NoFilesNoLimit) {
  EXPECT_TRUE(std::isinf(cgroup_core_limit(files())));
  EXPECT_EQ(cgroup_memory_limit(files()), std::numeric_limits<uint64_t>::max());
}

TEST_F(CgroupTest, Version2AtTheRootAsInAContainer) {
  folder_.put("membership", "0::/\n");
  folder_.put("cpu.max", "150000 100000\n");
  folder_.put("memory.max", "1073741824\n");
  EXPECT_DOUBLE_EQ(cgroup_core_limit(files()), 1.5);
  EXPECT_EQ(cgroup_memory_limit(files()), 1073741824u);
}

TEST_F(CgroupTest, Version2TakesTheTightestOfAllLevels) {
  folder_.put("membership", "0::/batch.slice/job-7.scope\n");
  folder_.put("batch.slice/cpu.max", "400000 100000\n");
  folder_.put("batch.slice/memory.max", "5000\n");
  folder_.put("batch.slice/job-7.scope/cpu.max", "max 100000\n");
  folder_.put("batch.slice/job-7.scope/memory.max", "max\n");
  folder_.put("batch.slice/other.scope/cpu.max", "1000 100000\n");
  EXPECT_DOUBLE_EQ(cgroup_core_limit(files()), 4.0);
  EXPECT_EQ(cgroup_memory_limit(files()), 5000u);
}

TEST_F(CgroupTest, Version1) {
  folder_.put("membership", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n");
  folder_.put("cpu/cpu.cfs_quota_us", "-1\n");
  folder_.put("cpu/cpu.cfs_period_us", "100000\n");
  folder_.put("cpu/docker/abc/cpu.cfs_quota_us", "250000\n");
  folder_.put("cpu/docker/abc/cpu.cfs_period_us", "100000\n");
  folder_.put("memory/memory.limit_in_bytes", "9223372036854771712\n");
  folder_.put("memory/docker/abc/memory.limit_in_bytes", "4096\n");
  EXPECT_DOUBLE_EQ(cgroup_core_limit(files()), 2.5);
  EXPECT_EQ(cgroup_memory_limit(files()), 4096u);
}

TEST_F(CgroupTest, StrangeContentsLimitNothing) {
  folder_.put("membership", "\n::\nx\n0::relative/path\n");
  folder_.put("cpu.max", "lots of it\n");
  folder_.put("memory.max", "");
  EXPECT_TRUE(std::isinf(cgroup_core_limit(files())));
  EXPECT_EQ(cgroup_memory_limit(files()), std::numeric_limits<uint64_t>::max());
}

}  // namespace
}  // namespace switchyard
