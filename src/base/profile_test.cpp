#include "base/profile.h"

#include <gtest/gtest.h>

#include <thread>

namespace switchyard {
namespace {

void spend(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

TEST(Profile, EntriesHoldOwnTimeAndAddUp) {
  Profiler profiler;
  const std::string detail = "x";
  const auto start = std::chrono::steady_clock::now();
  {
    const ProfileScope outer("outer");
    spend(20);
    for (int i = 0; i < 2; ++i) {
      const ProfileScope inner("inner", detail);
      spend(30);
    }
  }
  const double whole =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto entries = profiler.entries();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "inner");
  EXPECT_EQ(entries[0].detail, "x");
  EXPECT_EQ(entries[0].calls, 2);
  EXPECT_GE(entries[0].seconds, 0.060);
  EXPECT_GE(entries[1].seconds, 0.020);
  EXPECT_LE(entries[0].seconds + entries[1].seconds, whole);
}

TEST(Profile, WithoutAProfilerNothingIsKept) {
  { const ProfileScope scope("before"); }
  Profiler profiler;
  std::thread([] { const ProfileScope scope("other thread"); }).join();
  EXPECT_TRUE(profiler.entries().empty());
}

}  // namespace
}  // namespace switchyard
