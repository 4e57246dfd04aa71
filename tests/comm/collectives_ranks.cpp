// Tests that run the same on every rank of an mpirun.
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "comm/mesh.h"
#include "comm/world.h"

namespace switchyard {
namespace {

World* the_world = nullptr;  // made by main(), before the tests
Communicator& ranks() { return the_world->all(); }

/// A small whole number that depends on the rank and the place.
float value_of(int rank, int64_t i) { return static_cast<float>((rank + 1) * (i % 13 + 1)); }

std::vector<float> values_of(int rank, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = value_of(rank, i);
  return values;
}

float rank_sum() { return static_cast<float>(ranks().size() * (ranks().size() + 1)) / 2; }

// One stage and two, shares that are even, uneven and empty.
TEST(Collectives, AllReduceSumsWhateverTheLength) {
  for (const int64_t count : {0, 1, 512, 513, 1000, 4097, 300000}) {
    std::vector<float> values = values_of(ranks().rank(), count);
    ranks().all_reduce(values.data(), count, ElementType::kFloat32);
    for (int64_t i = 0; i < count; ++i) {
      ASSERT_EQ(values[static_cast<size_t>(i)], rank_sum() * value_of(0, i)) << count << " " << i;
    }
  }
}

TEST(Collectives, ReduceScatterGivesEachRankItsShare) {
  const int64_t count = 700;
  const std::vector<float> values = values_of(ranks().rank(), count * ranks().size());
  std::vector<float> share(static_cast<size_t>(count));
  ranks().reduce_scatter(values.data(), share.data(), count, ElementType::kFloat32);
  for (int64_t i = 0; i < count; ++i) {
    ASSERT_EQ(share[static_cast<size_t>(i)], rank_sum() * value_of(0, ranks().rank() * count + i));
  }
}

TEST(Collectives, AllGatherIsInTheOrderOfRanks) {
  const int64_t count = 1001;
  const std::vector<float> own = values_of(ranks().rank(), count);
  std::vector<float> all(static_cast<size_t>(count * ranks().size()));
  ranks().all_gather(own.data(), all.data(), count, ElementType::kFloat32);
  for (int r = 0; r < ranks().size(); ++r) {
    for (int64_t i = 0; i < count; ++i) {
      ASSERT_EQ(all[static_cast<size_t>(r * count + i)], value_of(r, i));
    }
  }
}

// Rank a sends (a + 2 b) % 4 rows to rank b: some none, and to itself too.
TEST(Collectives, AllToAllTakesUnevenCountsAndNone) {
  constexpr int64_t kWidth = 5;
  const auto rows = [](int from, int to) { return static_cast<int64_t>((from + 2 * to) % 4); };
  const int own = ranks().rank();
  std::vector<int64_t> send, expected_counts;
  std::vector<float> in, expected;
  for (int r = 0; r < ranks().size(); ++r) {
    send.push_back(rows(own, r));
    in.insert(in.end(), static_cast<size_t>(rows(own, r) * kWidth),
              static_cast<float>(100 * own + r));
    expected_counts.push_back(rows(r, own));
    expected.insert(expected.end(), static_cast<size_t>(rows(r, own) * kWidth),
                    static_cast<float>(100 * r + own));
  }
  const std::vector<int64_t> receive = ranks().all_to_all_counts(send);
  EXPECT_EQ(receive, expected_counts);
  std::vector<float> out(expected.size());
  ranks().all_to_all(in.data(), send, out.data(), receive, kWidth * sizeof(float));
  EXPECT_EQ(out, expected);
}

TEST(Collectives, AnyRankCanBroadcast) {
  for (int root = 0; root < ranks().size(); ++root) {
    const std::string text = root == ranks().rank() ? "from " + std::to_string(root) : "";
    EXPECT_EQ(ranks().broadcast_text(text, root), "from " + std::to_string(root));
  }
}

TEST(Collectives, SeveralMayBeUnderWayAndEndInAnyOrder) {
  constexpr int kMany = 50;
  const int64_t count = 3000;
  std::vector<std::vector<float>> values;
  std::vector<Pending> pending;
  for (int i = 0; i < kMany; ++i) values.push_back(values_of(ranks().rank() + i, count));
  for (auto& each : values) {
    pending.push_back(ranks().start_all_reduce(each.data(), count, ElementType::kFloat32));
  }
  ranks().barrier();
  for (int i = kMany - 1; i >= 0; --i) {
    pending[static_cast<size_t>(i)].wait();
    const float factor = rank_sum() + static_cast<float>(i * ranks().size());
    ASSERT_EQ(values[static_cast<size_t>(i)][7], factor * value_of(0, 7)) << i;
  }
}

TEST(Collectives, MoreInARowThanThereAreTags) {
  double sum = 0;
  for (int i = 0; i < 1200; ++i) {
    std::vector<double> one = {1.0};
    ranks().sum(one);
    sum += one[0];
  }
  EXPECT_EQ(sum, 1200.0 * ranks().size());
  EXPECT_EQ(ranks().maximum(ranks().rank() * 10), (ranks().size() - 1) * 10);
}

TEST(Collectives, MeshGroupsAreTheAxes) {
  const int size = ranks().size();
  const MeshShape shape = size % 2 == 0 ? MeshShape{size / 2, 2, 1} : MeshShape{size, 1, 1};
  const Mesh mesh(*the_world, shape);
  EXPECT_EQ(mesh.data().size(), shape.data);
  EXPECT_EQ(mesh.expert().size(), shape.expert);
  EXPECT_EQ(mesh.model().size(), 1);
  EXPECT_EQ(mesh.batch().size(), size);
  EXPECT_EQ(mesh.data().rank(), mesh.place().data);
  EXPECT_EQ(mesh.expert().rank(), mesh.place().expert);
  std::vector<double> experts = {static_cast<double>(mesh.place().expert)};
  mesh.data().sum(experts);
  EXPECT_EQ(experts[0], static_cast<double>(mesh.place().expert * shape.data));
  const Share rows = mesh.rows(2 * size);
  EXPECT_EQ(rows.begin, 2 * ranks().rank());
  EXPECT_EQ(rows.size, 2);
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  switchyard::World world({});
  switchyard::the_world = &world;
  const int failed = RUN_ALL_TESTS();
  std::vector<double> failures = {static_cast<double>(failed)};
  world.all().sum(failures);
  return failures[0] > 0 ? 1 : 0;
}
