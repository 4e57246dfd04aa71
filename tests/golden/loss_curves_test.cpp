// Fifty optimizer steps on changing batches: our losses against the stored ones of transformers
// (tools/make_loss_curves.py), which share no code with ours.
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>
#include <tuple>
#include <vector>

#include "tests/golden/golden.h"
#include "train/train_step.h"

namespace switchyard {
namespace {

struct Curve {
  at::Tensor input_ids, labels;  // [steps, B, S], [steps, B, T]
  at::Tensor losses;             // [steps]
};

// Of a model's folder, an optimizer's kind.
class LossCurves : public ::testing::TestWithParam<std::tuple<const char*, const char*>> {
 protected:
  const char* model_name() const { return std::get<0>(GetParam()); }
  const char* optimizer_kind() const { return std::get<1>(GetParam()); }

  Curve stored(int64_t seed) const {
    const SafetensorsFile file(testing::golden_folder("loss_curves.safetensors"));
    const std::string key =
        std::string(model_name()) + "." + optimizer_kind() + "." + std::to_string(seed) + ".";
    return {testing::golden_tensor(file, key + "input_ids"),
            testing::golden_tensor(file, key + "labels"),
            testing::golden_tensor(file, key + "losses").to(at::kDouble)};
  }

  /// Our losses on the curve's batches, [steps] float64.
  at::Tensor trained(const Curve& curve, Precision precision) const {
    const auto model = load_model(testing::golden_folder(model_name()), precision);
    const int64_t steps = curve.losses.size(0);
    const Recipe recipe = testing::golden_recipe(optimizer_kind(), steps);
    const auto optimizer = make_optimizer(recipe.optimizer, model->parameters());
    std::vector<double> losses;
    for (int64_t step = 0; step < steps; ++step) {
      const Batch batch = make_batch(curve.input_ids[step], curve.labels[step]);
      losses.push_back(train_step(*model, *optimizer, batch, recipe, step + 1).loss);
    }
    return at::tensor(losses, at::kDouble);
  }
};

TEST_P(LossCurves, Float32EqualsTheReference) {
  for (const int64_t seed : {1, 2}) {
    const Curve curve = stored(seed);
    const at::Tensor ours = trained(curve, Precision::kFloat32);
    const at::Tensor error = (ours - curve.losses).abs() / curve.losses;
    for (int64_t step = 0; step < error.size(0); ++step) {
      EXPECT_LE(error[step].item<double>(), 1e-5) << "step " << step + 1 << ", seed " << seed;
    }
    std::cout << "largest relative difference " << error.max().item<double>() << "\n";
  }
}

// What bfloat16 changes is less than what another order of data changes, and has no direction.
TEST_P(LossCurves, Bfloat16StaysWithinTheSpreadOfSeeds) {
  const Curve curve = stored(1);
  const at::Tensor difference = trained(curve, Precision::kBfloat16Selective) - curve.losses;
  const at::Tensor spread = stored(2).losses - curve.losses;
  const auto root_mean_square = [](const at::Tensor& x) {
    return std::sqrt(x.square().mean().item<double>());
  };
  std::cout << "bfloat16 differs by " << root_mean_square(difference) << ", seeds by "
            << root_mean_square(spread) << "\n";
  EXPECT_LT(root_mean_square(difference), 0.25 * root_mean_square(spread));
  EXPECT_LT(std::abs(difference.mean().item<double>()), 0.25 * root_mean_square(spread));
}

std::string curve_name(
    const ::testing::TestParamInfo<std::tuple<const char*, const char*>>& names) {
  return std::string(std::get<0>(names.param)) + "_" + std::get<1>(names.param);
}

INSTANTIATE_TEST_SUITE_P(Models, LossCurves,
                         ::testing::Combine(::testing::Values("t5_1_0", "t5_1_1",
                                                              "switch_every_block",
                                                              "switch_every_second"),
                                            ::testing::Values("adamw", "adafactor")),
                         curve_name);

}  // namespace
}  // namespace switchyard
