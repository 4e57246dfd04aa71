#include "base/threads.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

namespace switchyard {
namespace {

TEST(Threads, CoresFollowTheAffinityMask) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_GE(available_cores(), 1);
  EXPECT_LE(available_cores(), CPU_COUNT(&before));
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(available_cores(), 1);
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
}

TEST(Threads, MemoryIsPlausible) {
  EXPECT_GT(available_memory(), 1u << 26);
  EXPECT_GT(peak_memory(), 1u << 20);
  EXPECT_LT(peak_memory(), available_memory());
}

TEST(BoundedQueue, KeepsOrderAndItsBound) {
  BoundedQueue<int> queue(3);
  std::atomic<int> pushed = 0;
  std::thread producer([&] {
    for (int i = 0; i < 1000; ++i) {
      ASSERT_TRUE(queue.push(i));
      ++pushed;
    }
    queue.close();
  });
  int expected = 0;
  while (const auto value = queue.pop()) {
    EXPECT_EQ(*value, expected++);
    EXPECT_LE(pushed, expected + 4);
  }
  EXPECT_EQ(expected, 1000);
  producer.join();
}

TEST(BoundedQueue, CloseWakesEverybodyAndDrains) {
  BoundedQueue<int> queue(1);
  ASSERT_TRUE(queue.push(7));
  std::thread full([&] { EXPECT_FALSE(queue.push(8)); });
  BoundedQueue<int> nothing(1);
  std::thread hungry([&] { EXPECT_FALSE(nothing.pop()); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  queue.close();
  nothing.close();
  full.join();
  hungry.join();
  EXPECT_EQ(queue.pop(), 7);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

}  // namespace
}  // namespace switchyard
