// Parameters and optimizer state against those of real models and optimizers.
#include "plan/parameter_shares.h"

#include <gtest/gtest.h>

#include <numeric>

#include "model/counts.h"
#include "model/encoder_decoder.h"
#include "plan/test_plans.h"
#include "train/optimizer.h"

namespace switchyard {
namespace {

using testing::planned_recipe;

int64_t local_count(const Recipe& recipe, const MeshConfig& mesh) {
  int64_t count = 0;
  for (const ParameterShare& share : share_parameters(parameter_shapes(recipe), mesh)) {
    count += share.local.count();
  }
  return count;
}

std::vector<Recipe> recipes() {
  std::vector<Recipe> all(4, planned_recipe());
  all[1].model.feed_forward = "geglu";
  all[1].model.tie_embeddings = false;
  all[1].optimizer.kind = "adamw";
  all[2].model.moe.num_experts = 0;
  all[2].optimizer.momentum = 0.9;
  all[3].model.moe.attention_experts = "feed_forward";
  all[3].optimizer.min_dim_factored = 16;
  return all;
}

TEST(ParameterShares, OneRankHoldsTheWholeModel) {
  for (const Recipe& recipe : recipes()) {
    EXPECT_EQ(local_count(recipe, {}), count_parameters(recipe.model));
  }
}

TEST(ParameterShares, StateIsThatOfTheRealOptimizer) {
  for (const Recipe& recipe : recipes()) {
    EncoderDecoder model(recipe.model, parse_precision(recipe.train.precision));
    int64_t real = 0;
    for (const auto& state : make_optimizer(recipe.optimizer, model.parameters())->state()) {
      real += state.tensor.numel();
    }
    double planned = 0;
    for (const ParameterShape& parameter : parameter_shapes(recipe)) {
      planned += state_size(recipe.optimizer, parameter).total();
    }
    EXPECT_EQ(planned, static_cast<double>(real)) << recipe.optimizer.kind;
  }
}

// What is split over an axis is there once over its ranks; the rest on each of them.
TEST(ParameterShares, MeshesSplitExpertsHeadsAndWidths) {
  const Recipe recipe = planned_recipe();
  int64_t experts = 0, split = 0, whole = 0;
  for (const ParameterShare& share : share_parameters(parameter_shapes(recipe), {})) {
    const std::string& name = share.local.name;
    const bool widths = name.find(".wi.") != name.npos || name.find(".wo.") != name.npos ||
                        name.find("Attention.") != name.npos;
    (share.expert ? experts : widths ? split : whole) += share.local.count();
  }
  EXPECT_EQ(local_count(recipe, {2, 4, 1}), experts / 4 + split + whole);
  EXPECT_EQ(local_count(recipe, {1, 1, 4}), experts / 4 + split / 4 + whole);
  EXPECT_EQ(local_count(recipe, {1, 2, 2}), experts / 4 + split / 2 + whole);
}

TEST(ParameterShares, CopiesAreThoseOfProducts) {
  for (const ParameterShape& parameter : parameter_shapes(planned_recipe())) {
    const bool router = parameter.name.find("router") != std::string::npos;
    EXPECT_EQ(parameter.copied, !router) << parameter.name;
  }
  Recipe wide = planned_recipe();
  wide.train.precision = "fp32";
  for (const ParameterShape& parameter : parameter_shapes(wide)) EXPECT_FALSE(parameter.copied);
}

}  // namespace
}  // namespace switchyard
