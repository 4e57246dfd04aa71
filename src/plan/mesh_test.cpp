// Meshes as text, and what does not divide.
#include "plan/mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/test_plans.h"
#include "tests/error_of.h"

namespace switchyard {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::planned_recipe;

TEST(Mesh, IsReadOverTheRecipes) {
  const MeshConfig mesh = parse_mesh("expert=8,data=2", {1, 1, 3});
  EXPECT_EQ(mesh_text(mesh), "data 2 x expert 8 x model 3");
  EXPECT_EQ(num_ranks(mesh), 48);
  EXPECT_EQ(num_ranks(parse_mesh("")), 1);
}

TEST(Mesh, WrongTextIsNamed) {
  for (const char* text : {"depth=2", "data", "data=0", "data=2x", "data=", "data=1.5"}) {
    const Error error = error_of([&] { parse_mesh(text); });
    EXPECT_EQ(error.exit_code(), 2) << text;
    EXPECT_EQ(error.where_part(), "--mesh") << text;
  }
}

TEST(Mesh, WhatDoesNotDivideIsRefusedWithBothNumbers) {
  const auto complaint = [](const MeshConfig& mesh, const Recipe& recipe) {
    return std::string(error_of([&] { divide_over_mesh(recipe, mesh); }).what());
  };
  const Recipe recipe = planned_recipe();
  EXPECT_THAT(complaint({3, 1, 1}, recipe),
              HasSubstr("train.batch_sequences = 16 cannot be split over data x expert = 3 ranks"));
  EXPECT_THAT(complaint({1, 16, 1}, recipe),
              HasSubstr("model.moe.num_experts = 8 cannot be split over expert = 16 ranks"));
  EXPECT_THAT(complaint({1, 1, 3}, recipe),
              HasSubstr("model.num_heads = 4 cannot be split over model = 3 ranks"));
  Recipe narrow = recipe;
  narrow.model.d_ff = 126;
  EXPECT_THAT(complaint({1, 1, 4}, narrow),
              HasSubstr("model.d_ff = 126 cannot be split over model = 4 ranks"));
  Recipe dense = recipe;
  dense.model.moe.num_experts = 0;
  EXPECT_THAT(complaint({1, 2, 1}, dense), HasSubstr("no experts to split over expert = 2 ranks"));
  Recipe cut = recipe;
  cut.train.batch_sequences = 24;
  cut.train.micro_batch_sequences = 8;
  EXPECT_THAT(complaint({2, 1, 1}, cut), HasSubstr("the 12 sequences of a rank"));
  Recipe groups = recipe;
  groups.model.moe.group_sequences = 6;
  groups.train.batch_sequences = 12;
  EXPECT_THAT(complaint({3, 1, 1}, groups), HasSubstr("group_sequences = 6 and the 4 sequences"));
}

TEST(Mesh, RanksShareTheBatch) {
  Recipe recipe = planned_recipe();
  recipe.train.micro_batch_sequences = 4;
  const RankBatch batch = divide_over_mesh(recipe, {2, 1, 2});
  EXPECT_EQ(batch.sequences, 8);
  EXPECT_EQ(batch.micro, 4);
  EXPECT_EQ(batch.micro_batches, 2);
  // A rank with less than a forward pass makes one of what it has.
  EXPECT_EQ(divide_over_mesh(recipe, {1, 8, 1}).micro, 2);
}

}  // namespace
}  // namespace switchyard
