#include "train/state_snapshot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

namespace switchyard {
namespace {

using Bytes = StateSnapshot::Bytes;

/// Tensors of 100 bytes, each filled with its number.
struct Live {
  explicit Live(size_t count) : data(count, std::vector<std::byte>(100)) {
    for (size_t i = 0; i < count; ++i) fill(i, i);
  }
  void fill(size_t i, size_t value) { std::fill(data[i].begin(), data[i].end(), std::byte(value)); }
  std::vector<Bytes> views() const { return {data.begin(), data.end()}; }
  std::vector<std::vector<std::byte>> data;
};

bool holds(Bytes bytes, size_t value) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [&](std::byte byte) { return byte == std::byte(value); });
}

TEST(StateSnapshot, IsReadInPlaceUntilDetached) {
  Live live(3);
  StateSnapshot snapshot(live.views(), 200);
  EXPECT_EQ(snapshot.take(0).data(), live.data[0].data());
  snapshot.release(0);
  snapshot.detach();
  EXPECT_EQ(snapshot.copied_bytes(), 200u);
  for (size_t i = 0; i < 3; ++i) live.fill(i, 77);
  for (size_t i = 1; i < 3; ++i) {
    EXPECT_TRUE(holds(snapshot.take(i), i));
    snapshot.release(i);
  }
}

TEST(StateSnapshot, WaitsForWhatMayNotBeCopied) {
  constexpr size_t kCount = 50;
  for (const uint64_t limit : {uint64_t{0}, uint64_t{50}, uint64_t{1000}, uint64_t{100000}}) {
    Live live(kCount);
    StateSnapshot snapshot(live.views(), limit);
    std::atomic<size_t> wrong = 0;
    std::thread writer([&] {
      for (size_t i = 0; i < kCount; ++i) {
        const Bytes bytes = snapshot.take(i);
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        wrong += !holds(bytes, i);
        snapshot.release(i);
      }
      snapshot.close();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    snapshot.detach();
    for (size_t i = 0; i < kCount; ++i) live.fill(i, 200);
    snapshot.detach();  // nothing left to do
    writer.join();
    EXPECT_EQ(wrong, 0u) << limit;
    EXPECT_LE(snapshot.copied_bytes(), limit);
  }
}

TEST(StateSnapshot, AWriterThatGaveUpIsNotWaitedFor) {
  Live live(3);
  StateSnapshot snapshot(live.views(), 0);
  snapshot.take(0);
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    snapshot.close();
  });
  snapshot.detach();
  writer.join();
}

}  // namespace
}  // namespace switchyard
