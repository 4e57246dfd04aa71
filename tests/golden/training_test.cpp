// Ten optimizer steps on tiny models against torch's AdamW and transformers' Adafactor.
// tools/tiny_training.py says where their definitions differ from ours, and what is done about
// each.
#include <gtest/gtest.h>

#include <map>

#include "model/weight_names.h"
#include "tests/golden/golden.h"
#include "train/train_step.h"

namespace switchyard {
namespace {

constexpr int64_t kSteps = 10;
constexpr int64_t kEntries = 8;  // stored of each weight, evenly spaced
// In float32 rounding grows from step to step. Largest differences seen: 6e-7 of a loss; 1.1e-4 of
// a weight, relative to the root mean square of what the steps changed in its tensor.
constexpr double kLossTolerance = 5e-6;
constexpr double kWeightTolerance = 5e-4;

using Weights = std::map<std::string, at::Tensor>;

/// All weights by Hugging Face's names, copied and flat.
Weights weights_of(const EncoderDecoder& model) {
  Weights weights;
  const ModelConfig& config = model.config();
  for (const Parameter& parameter : model.parameters().all()) {
    for (const WeightPart& part :
         weight_parts(parameter, config.gated(), config.moe.num_experts == 0)) {
      weights[part.name] =
          parameter.value().detach().view(-1).narrow(0, part.begin, part.numel).clone();
    }
  }
  return weights;
}

class GoldenTraining : public testing::Golden {
 protected:
  void compare(const std::string& kind) {
    const auto model = this->model();
    const Weights before = weights_of(*model);
    const Recipe recipe = testing::golden_recipe(kind, kSteps);
    const auto optimizer = make_optimizer(recipe.optimizer, model->parameters());
    const Batch input = full_batch();
    const at::Tensor losses = expected(kind + "_losses");
    ASSERT_EQ(losses.size(0), kSteps);
    for (int64_t step = 1; step <= kSteps; ++step) {
      const StepResult result = train_step(*model, *optimizer, input, recipe, step);
      const auto loss = losses[step - 1].item<double>();
      EXPECT_NEAR(result.loss, loss, kLossTolerance * loss) << "step " << step;
    }
    compare_weights(before, weights_of(*model), expected(kind + "_weights"));
  }

 private:
  static void compare_weights(const Weights& before, const Weights& after,
                              const at::Tensor& theirs) {
    ASSERT_EQ(theirs.size(0), static_cast<int64_t>(after.size()));
    int64_t row = 0;
    for (const auto& [name, value] : after) {
      const at::Tensor stored = theirs[row++];
      const auto change = (value - before.at(name)).norm().item<double>();
      const auto stored_change = stored[kEntries].item<double>();
      EXPECT_NEAR(change, stored_change, kWeightTolerance * stored_change) << name;
      const double typical = stored_change / std::sqrt(static_cast<double>(value.numel()));
      for (int64_t i = 0; i < kEntries; ++i) {
        EXPECT_NEAR(value[i * value.numel() / kEntries].item<double>(), stored[i].item<double>(),
                    kWeightTolerance * typical)
            << name << ", entry " << i;
      }
    }
  }
};

TEST_P(GoldenTraining, AdamW) { compare("adamw"); }
TEST_P(GoldenTraining, Adafactor) { compare("adafactor"); }

INSTANTIATE_TEST_SUITE_P(Models, GoldenTraining, testing::kGoldenModels, testing::golden_name);

}  // namespace
}  // namespace switchyard
