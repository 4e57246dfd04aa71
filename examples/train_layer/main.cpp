// Trains one Switch layer, with one expert and with eight, on tokens that ask for eight different
// linear maps. At equal work per token, eight experts can learn a map each; one has to share.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstdio>

#include "model/moe/moe_layer.h"
#include "train/optimizer.h"

namespace {

constexpr int64_t kKinds = 8, kWidth = 32, kSequences = 16, kLength = 64;

struct Task {  // kind k of token: x = center[k] + noise; wanted: x map[k]
  at::Tensor centers = at::randn({kKinds, kWidth});
  at::Tensor maps = at::randn({kKinds, kWidth, kWidth}) / std::sqrt(double{kWidth});
};

/// Root mean square error, as a share of the target's, after `steps` steps.
double train(const Task& task, int64_t experts, int steps) {
  switchyard::ModelConfig config;
  config.d_model = kWidth;
  config.d_ff = 32;
  config.init_scale = 1.0;
  config.moe.num_experts = experts;
  config.moe.balance_loss = 0.01;
  config.moe.capacity_factor_train = 2.0;  // experts are unevenly used at first
  switchyard::ParameterSet parameters(at::kCPU, switchyard::Precision::kFloat32);
  const switchyard::MoeLayer layer(parameters, "layer", "layer", config);
  parameters.initialize(/*seed=*/1);
  switchyard::OptimizerConfig adamw;
  adamw.kind = "adamw";
  const auto optimizer = switchyard::make_optimizer(adamw, parameters);

  at::manual_seed(2);  // the same tokens for every layer
  double error = 1;
  for (int step = 0; step < steps; ++step) {
    const at::Tensor kind = at::randint(kKinds, {kSequences * kLength}, at::kLong);
    const at::Tensor x = task.centers.index({kind}) + 0.3 * at::randn({kind.size(0), kWidth});
    const at::Tensor wanted = at::bmm(x.unsqueeze(1), task.maps.index({kind})).squeeze(1);

    switchyard::MoeInput input;
    input.x = x.view({kSequences, kLength, kWidth});
    input.training = true;
    input.step = static_cast<uint64_t>(step);
    const switchyard::MoeOutput output = layer.forward(input);
    const at::Tensor loss = (output.y.view_as(wanted) - wanted).square().mean();
    torch::autograd::backward({loss + config.moe.balance_loss * output.balance}, {});
    optimizer->step(/*learning_rate=*/0.003, /*gradient_scale=*/1.0);
    parameters.clear_gradients();
    error = std::sqrt((loss / wanted.square().mean()).item<double>());
    if (step % 200 == 199) {
      std::printf("experts %d, step %4d: error %.3f, dropped %4.1f %%\n", static_cast<int>(experts),
                  step + 1, error, 100 * output.stats.dropped_share());
    }
  }
  return error;
}

}  // namespace

int main() {
  at::manual_seed(1);
  const Task task;
  const double one = train(task, 1, 1000), eight = train(task, 8, 1000);
  std::printf("error after training: experts 1: %.3f, experts 8: %.3f\n", one, eight);
  return eight < one ? 0 : 1;
}
