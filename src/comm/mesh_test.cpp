#include "comm/mesh.h"

#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "comm/world.h"
#include "tests/error_of.h"

namespace switchyard {
namespace {

TEST(MeshTest, EveryRankHasItsOwnPlaceAndModelNeighboursStandTogether) {
  const MeshShape shape{2, 3, 4};
  std::set<std::tuple<int64_t, int64_t, int64_t>> places;
  for (int64_t rank = 0; rank < shape.size(); ++rank) {
    const MeshPlace place = place_of(rank, shape);
    EXPECT_LT(place.data, 2);
    EXPECT_LT(place.expert, 3);
    EXPECT_LT(place.model, 4);
    places.insert({place.data, place.expert, place.model});
  }
  EXPECT_EQ(places.size(), 24U);
  EXPECT_EQ(place_of(1, shape).model, 1);
  EXPECT_EQ(place_of(4, shape).expert, 1);
  EXPECT_EQ(place_of(12, shape).data, 1);
}

TEST(MeshTest, OneRankHasEverything) {
  const Mesh mesh;
  EXPECT_TRUE(mesh.is_first());
  EXPECT_EQ(mesh.rows(6).begin, 0);
  EXPECT_EQ(mesh.rows(6).size, 6);
  EXPECT_EQ(mesh.batch().size(), 1);
}

TEST(MeshTest, RefusesAnotherNumberOfRanks) {
  World world({});
  const std::string error = testing::error_of([&] { Mesh(world, {2, 1, 1}); }).what();
  EXPECT_NE(error.find("2 x 1 x 1 (data x expert x model) has 2 ranks, but 1 was started"),
            std::string::npos)
      << error;
  EXPECT_NE(error.find("mpirun -np 2"), std::string::npos) << error;
}

}  // namespace
}  // namespace switchyard
