#include "train/block_norms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "train/health/places.h"
#include "train/train_step.h"

namespace switchyard {
namespace {

Recipe recipe_of(const std::string& optimizer) {
  Recipe recipe;
  ModelConfig& model = recipe.model;
  model.d_model = 16;
  model.d_ff = 24;
  model.d_kv = 8;
  model.num_heads = 2;
  model.num_encoder_layers = 2;
  model.num_decoder_layers = 1;
  model.vocab_size = 50;
  model.tie_embeddings = false;
  model.moe.num_experts = 3;
  recipe.train.precision = "fp32";
  recipe.train.batch_sequences = 4;
  recipe.optimizer.kind = optimizer;
  recipe.optimizer.learning_rate = 0.02;
  recipe.optimizer.min_dim_factored = 16;
  recipe.optimizer.warmup_steps = 1;
  return recipe;
}

// Against what the tensors themselves say before and after a step.
TEST(BlockNorms, AreThoseOfGradientsAndChanges) {
  for (const char* optimizer_kind : {"adafactor", "adamw"}) {
    for (const Precision precision : {Precision::kFloat32, Precision::kFloat64}) {
      const Recipe recipe = recipe_of(optimizer_kind);
      EncoderDecoder model(recipe.model, precision);
      model.parameters().initialize(1);
      const auto optimizer = make_optimizer(recipe.optimizer, model.parameters());
      std::map<std::string, at::Tensor> before;
      for (const Parameter& parameter : model.parameters().all()) {
        before[parameter.name()] = parameter.value().detach().clone();
      }
      at::manual_seed(3);
      const Batch batch =
          make_batch(at::randint(1, 50, {4, 9}, at::kLong), at::randint(1, 50, {4, 5}, at::kLong));
      const StepResult result = train_step(model, *optimizer, batch, recipe, 1);
      std::map<std::string, double> gradients, updates;
      for (const Parameter& parameter : model.parameters().all()) {
        const std::string block = block_of_parameter(parameter.name());
        gradients[block] += parameter.gradient().to(at::kDouble).square().sum().item<double>();
        updates[block] += (parameter.value().detach() - before[parameter.name()])
                              .to(at::kDouble)
                              .square()
                              .sum()
                              .item<double>();
      }
      std::vector<std::string> names;
      for (const BlockNorms& block : result.blocks) {
        names.push_back(block.block);
        const double gradient = std::sqrt(gradients[block.block]);
        EXPECT_NEAR(block.gradient, gradient, 1e-4 * gradient) << block.block;
        const double update = std::sqrt(updates[block.block]);
        EXPECT_GT(update, 0) << block.block;
        EXPECT_NEAR(block.update, update, 1e-4 * update) << block.block;
      }
      EXPECT_THAT(names, ::testing::UnorderedElementsAre("embedding", "output", "encoder.0",
                                                         "encoder.1", "encoder.final_norm",
                                                         "decoder.0", "decoder.final_norm"));
    }
  }
}

}  // namespace
}  // namespace switchyard
