// Every recipe in recipes/ loads, builds (on the meta device: shapes without memory) and has the
// parameters and FLOPs of the model it is named after (paper table 9).
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "data/span_corruption.h"
#include "model/counts.h"
#include "model/encoder_decoder.h"
#include "train/recipe.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

struct Expected {
  double parameters, parameter_tolerance;
  double forward_flops, flops_tolerance;  // of one sequence, 512 in and 114 out; 0: not published
};

const std::map<std::string, Expected>& expectations() {
  static const std::map<std::string, Expected> table = {
      {"t5_base", {222.90e6, 0.005e6, 124.6e9, 0.05e9}},
      {"t5_large", {737.67e6, 0.005e6, 424.9e9, 0.05e9}},
      {"t5_xxl", {11.135e9, 0.0005e9, 6.26e12, 0.005e12}},
      {"switch_base_8", {619339008, 0, 124.6e9, 0.05e9}},
      {"switch_base_16", {1072397568, 0, 124.6e9, 0.05e9}},
      {"switch_base_32", {1.979e9, 0.0005e9, 124.6e9, 0.05e9}},
      {"switch_base_64", {3.791e9, 0.0005e9, 124.6e9, 0.05e9}},
      {"switch_base_128", {7.415e9, 0.0005e9, 124.6e9, 0.05e9}},
      {"switch_base_256", {14.664e9, 0.0005e9, 124.6e9, 0.05e9}},
      {"switch_large_128", {26.31e9, 0.005e9, 424.9e9, 0.05e9}},
      {"switch_xxl_128", {394.7e9, 0.05e9, 6.26e12, 0.005e12}},
      {"switch_c_2048", {1571.4e9, 0.05e9, 894e9, 0.5e9}},
      // mT5-Base as released by its authors; its vocabulary's logits dominate the FLOPs.
      {"mt5_base", {582401280, 0, 0, 0}},
      // The same with 127 more experts in 12 of the 24 feed-forwards.
      {"mswitch_base_128", {582401280 + 12.0 * (127 * 3 * 768 * 2048 + 128 * 768), 0, 0, 0}},
      {"quickstart", {1214336, 0, 0, 0}},
  };
  return table;
}

std::string recipe_folder() { return std::string(SWITCHYARD_SOURCE_DIR) + "/recipes"; }

TEST(Recipes, AllAreChecked) {
  std::set<std::string> there, expected;
  for (const auto& entry : fs::directory_iterator(recipe_folder())) {
    if (!entry.is_directory()) there.insert(entry.path().filename());  // tasks/: tasks_test
  }
  for (const auto& [name, values] : expectations()) expected.insert(name + ".toml");
  EXPECT_EQ(there, expected);
}

// Their teachers and models are given on the command line.
TEST(Recipes, ThoseOfFinetuningAreRead) {
  const std::string folder = recipe_folder() + "/finetuning/";
  const Recipe tasks = load_recipe(folder + "finetune.toml", {"tasks.boolq.train=train.jsonl"});
  EXPECT_EQ(tasks.objective.kind, "seq2seq");
  EXPECT_EQ(tasks.model.moe.expert_dropout, 0.4);
  EXPECT_EQ(tasks.tasks.size(), 1);
  EXPECT_EQ(load_run_recipe(folder + "distill.toml").objective.soft_weight, 0.25);
}

class RecipeFile : public ::testing::TestWithParam<std::string> {};

TEST_P(RecipeFile, BuildsWithThePublishedSize) {
  const Expected& expected = expectations().at(GetParam());
  const Recipe recipe = load_recipe(recipe_folder() + "/" + GetParam() + ".toml");
  EncoderDecoder model(recipe.model, parse_precision(recipe.train.precision), at::kMeta);
  EXPECT_EQ(model.parameters().numel(), count_parameters(recipe.model));
  EXPECT_NEAR(static_cast<double>(count_parameters(recipe.model)), expected.parameters,
              expected.parameter_tolerance);
  if (expected.forward_flops > 0) {
    EXPECT_NEAR(forward_flops(recipe.model, 512, 114), expected.forward_flops,
                expected.flops_tolerance);
  }
  EXPECT_FALSE(recipe.data.train.empty());
  EXPECT_FALSE(recipe.data.validation.empty());
  EXPECT_EQ(span_lengths(recipe.data.input_length, recipe.data.noise_density,
                         recipe.data.mean_span_length)
                .inputs,
            recipe.data.input_length);
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& [name, values] : expectations()) all.push_back(name);
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, RecipeFile, ::testing::ValuesIn(names()),
                         [](const auto& parameter) { return parameter.param; });

// What the quickstart compares differs in experts alone, and costs the same per token.
TEST(Recipes, QuickstartModelsMatchInFlops) {
  const std::string path = recipe_folder() + "/quickstart.toml";
  const auto flops = [&](int experts) {
    const Recipe recipe = load_recipe(path, {"model.moe.num_experts=" + std::to_string(experts)});
    const SpanLengths lengths = span_lengths(recipe.data.input_length, recipe.data.noise_density,
                                             recipe.data.mean_span_length);
    return forward_flops(recipe.model, lengths.inputs, lengths.targets);
  };
  EXPECT_EQ(flops(0), flops(8));
  EXPECT_EQ(flops(0), flops(32));
}

}  // namespace
}  // namespace switchyard
