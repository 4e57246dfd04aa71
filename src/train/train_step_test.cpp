#include "train/train_step.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "train/test_recipes.h"

namespace switchyard {
namespace {

using testing::small_recipe;

Batch random_batch(int64_t sequences, bool padded = false) {
  at::manual_seed(5);
  const at::Tensor inputs = at::randint(1, 100, {sequences, 12}, at::kLong);
  const at::Tensor targets = at::randint(1, 100, {sequences, 6}, at::kLong);
  if (padded) targets.slice(0, 1).slice(1, 4).zero_();
  return make_batch(inputs, targets);
}

std::vector<at::Tensor> gradients_of(const Recipe& recipe, const Batch& batch) {
  EncoderDecoder model(recipe.model, Precision::kFloat32);
  model.parameters().initialize(1);
  const auto optimizer = make_optimizer(recipe.optimizer, model.parameters());
  train_step(model, *optimizer, batch, recipe, 1);
  std::vector<at::Tensor> gradients;
  for (const Parameter& parameter : model.parameters().all()) {
    gradients.push_back(parameter.gradient().clone());
  }
  return gradients;
}

// Dropout, jitter, capacity, balance and z-losses included.
TEST(TrainStep, MicroBatchesGiveTheSameGradient) {
  for (const char* attention : {"none", "feed_forward"}) {
    Recipe recipe = small_recipe();
    recipe.model.moe.attention_experts = attention;
    recipe.model.moe.expert_dropout = 0.2;
    const Batch batch = random_batch(8);
    const auto whole = gradients_of(recipe, batch);
    for (const int64_t micro : {2, 4}) {
      recipe.train.micro_batch_sequences = micro;
      const auto split = gradients_of(recipe, batch);
      for (size_t i = 0; i < whole.size(); ++i) {
        const double size = whole[i].norm().item<double>();
        EXPECT_LE((whole[i] - split[i]).norm().item<double>(), 1e-6 * size + 1e-9)
            << i << " of " << attention;
      }
    }
  }
}

TEST(TrainStep, LossIsOverRealTargetsOfTheWholeBatch) {
  Recipe recipe = small_recipe();
  recipe.model.moe.num_experts = 0;
  const Batch batch = random_batch(8, /*padded=*/true);
  const auto whole = gradients_of(recipe, batch);
  recipe.train.micro_batch_sequences = 1;  // micro-batches with 6 and with 4 real targets a row
  const auto split = gradients_of(recipe, batch);
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_LE((whole[i] - split[i]).norm().item<double>(),
              1e-6 * whole[i].norm().item<double>() + 1e-9)
        << i;
  }
}

// F13, t5x/contrib/moe/models_test.py: total 100 of which z-loss 1, auxiliary 3 and router-z 7
// leave a cross-entropy of 89 over 2 targets, 44.5 per token. There the parts are sums; ours are
// means.
TEST(TrainStep, LossComposition) {
  StepResult result;
  result.cross_entropy = {89.0, 2.0};
  result.logit_z = {1000.0, 2.0};  // factor 1e-3: z-loss 1
  result.balance_loss = 3.0 / 2;
  result.router_z_loss = 7.0 / 2;
  EXPECT_DOUBLE_EQ(result.cross_entropy.mean(), 44.5);
  ObjectiveConfig objective;
  objective.logit_z_loss = 1e-3;
  EXPECT_DOUBLE_EQ(total_loss(result, objective), 100.0 / 2);
}

// F13: targets [[1,2,3,4,0],[5,6,0,0,0]] hold 6 real tokens.
TEST(TrainStep, PaddingCountsInNoLoss) {
  Recipe recipe = small_recipe();
  EncoderDecoder model(recipe.model, Precision::kFloat32);
  model.parameters().initialize(1);
  const auto optimizer = make_optimizer(recipe.optimizer, model.parameters());
  const at::Tensor targets =
      at::tensor(std::vector<int64_t>{1, 2, 3, 4, 0, 5, 6, 0, 0, 0}, at::kLong).view({2, 5});
  recipe.train.batch_sequences = 2;
  const StepResult result =
      train_step(model, *optimizer, make_batch(at::ones({2, 5}, at::kLong), targets), recipe, 1);
  EXPECT_EQ(result.cross_entropy.count, 6);
  EXPECT_EQ(result.correct.count, 6);
}

TEST(TrainStep, LossFallsOnOneBatch) {
  for (const auto& [kind, attention] : {std::pair{"adafactor", "none"},
                                        {"adamw", "none"},
                                        {"adafactor", "feed_forward"},
                                        {"adafactor", "linear"}}) {
    Recipe recipe = small_recipe();
    recipe.optimizer.kind = kind;
    recipe.model.moe.attention_experts = attention;
    recipe.optimizer.learning_rate = 0.01;
    recipe.optimizer.clip_norm = 1.0;
    recipe.model.dropout = 0;
    EncoderDecoder model(recipe.model, Precision::kFloat32);
    model.parameters().initialize(1);
    const auto optimizer = make_optimizer(recipe.optimizer, model.parameters());
    const Batch batch = random_batch(8);
    const double first = train_step(model, *optimizer, batch, recipe, 1).cross_entropy.mean();
    double last = first;
    for (int64_t step = 2; step <= 40; ++step) {
      last = train_step(model, *optimizer, batch, recipe, step).cross_entropy.mean();
    }
    EXPECT_LT(last, 0.7 * first) << kind << ", attention experts: " << attention;
  }
}

// Ten steps, each of several micro-batches: whatever differed in one would show in the next.
TEST(TrainStep, RecomputationChangesNoBit) {
  for (const auto& [precision, kind] :
       {std::pair{"fp32", "adafactor"}, {"bf16-selective", "adamw"}}) {
    Recipe recipe = small_recipe();
    recipe.optimizer.kind = kind;
    recipe.optimizer.learning_rate = 0.01;
    recipe.optimizer.clip_norm = 1.0;
    recipe.model.moe.expert_dropout = 0.2;
    recipe.train.precision = precision;
    recipe.train.micro_batch_sequences = 4;
    const auto run = [&](bool recompute) {
      recipe.train.recompute = recompute;
      EncoderDecoder model(recipe.model, parse_precision(precision));
      model.parameters().initialize(1);
      const auto optimizer = make_optimizer(recipe.optimizer, model.parameters());
      std::vector<double> numbers;
      for (int64_t step = 1; step <= 10; ++step) {
        const StepResult result = train_step(model, *optimizer, random_batch(8), recipe, step);
        numbers.insert(numbers.end(), {result.loss, result.gradient_norm});
        for (const RoutingStats& layer : result.routing) {
          numbers.insert(numbers.end(), {layer.tokens, layer.dropped, layer.calls});
        }
      }
      return numbers;
    };
    EXPECT_EQ(run(false), run(true)) << precision;
  }
}

TEST(TrainStep, NotFiniteStopsBeforeTheUpdate) {
  Recipe recipe = small_recipe();
  EncoderDecoder model(recipe.model, Precision::kFloat32);
  model.parameters().initialize(1);
  const auto optimizer = make_optimizer(recipe.optimizer, model.parameters());
  Parameter& norm = *model.parameters().find("decoder.final_layer_norm.weight");
  norm.value().detach().fill_(std::nan(""));
  const at::Tensor embedding = model.parameters().find("shared.weight")->value().detach().clone();
  EXPECT_THROW(train_step(model, *optimizer, random_batch(8), recipe, 3), Error);
  EXPECT_TRUE(embedding.equal(model.parameters().find("shared.weight")->value().detach()));
  EXPECT_EQ(optimizer->steps_done(), 0);
}

}  // namespace
}  // namespace switchyard
