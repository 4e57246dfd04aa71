#include "train/process_setup.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <thread>

namespace switchyard {
namespace {

TEST(ProcessSetup, ThreadsAreUsed) {
  prepare_process(2);
  EXPECT_EQ(at::get_num_threads(), 2);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  at::parallel_for(0, 2, 1, [&](int64_t, int64_t) {
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(threads.size(), 2u);
}

// Every thread of the pool treats denormals alike, or results would depend on who did the work.
TEST(ProcessSetup, DenormalsAreZeroEverywhere) {
  prepare_process(2);
  const at::Tensor tiny = at::full({1 << 20}, 1e-39);
  EXPECT_EQ((tiny * 0.5).count_nonzero().item<int64_t>(), 0);
}

}  // namespace
}  // namespace switchyard
