// F8: the first losses of Tutel's helloworld.py (tests/test_baseline.json there) with our routers
// in the middle. Its experts have biases and PyTorch's default initialization, so the layer is
// written here in ATen operations around a RoutingPlan. 16 sequences of 1024 tokens, width 2048.
#include <gtest/gtest.h>

#include <cmath>

#include "model/moe/router.h"

namespace switchyard {
namespace {

constexpr int64_t kWidth = 2048, kSequences = 16, kLength = 1024, kTokens = kSequences * kLength;

struct Linear {
  at::Tensor weight, bias;
};

at::Tensor uniform_parameter(at::IntArrayRef shape) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(kWidth));
  return at::empty(shape, at::kFloat).uniform_(-bound, bound).set_requires_grad(true);
}

Linear default_linear() {
  return {uniform_parameter({kWidth, kWidth}), uniform_parameter({kWidth})};
}

class TutelModel {
 public:
  TutelModel(int64_t experts, int64_t choices) : choices_(choices) {
    at::manual_seed(1);
    for (int64_t e = 0; e < experts; ++e) {
      first_.push_back(default_linear());
      second_.push_back(default_linear());
    }
    at::manual_seed(1);
    gate_ = uniform_parameter({experts, kWidth});
    ModelConfig config;
    config.moe.num_experts = experts;
    config.moe.router = choices == 1 ? "switch" : "top2";
    config.moe.second_choice = "all";
    router_ = router_kind(config.moe).make(config);
  }

  /// Negative log-likelihood of the first token of each sequence under a softmax over tokens of the
  /// summed output.
  at::Tensor loss(const at::Tensor& x) {
    const int64_t experts = gate_.size(0);
    RouterInput input;
    input.probabilities = at::softmax(at::linear(x, gate_), -1);
    input.group_ends = {kTokens};
    input.capacity = {choices_ * ((kTokens + experts - 1) / experts)};
    const RoutingPlan plan = router_->route(input);
    dropped_ = kTokens * choices_ - plan.num_rows();
    at::Tensor y = at::zeros_like(x);
    for (int64_t e = 0; e < experts; ++e) {
      const auto i = static_cast<size_t>(e);
      const at::Tensor pairs =
          plan.row_choice.narrow(0, plan.offsets[i], plan.offsets[i + 1] - plan.offsets[i]);
      const at::Tensor tokens = pairs.floor_divide(choices_);
      const at::Tensor hidden =
          at::relu(at::linear(x.index_select(0, tokens), first_[i].weight, first_[i].bias));
      const at::Tensor gate = plan.gate.reshape(-1).index_select(0, pairs).unsqueeze(1);
      y = y.index_add(0, tokens, at::linear(hidden, second_[i].weight, second_[i].bias) * gate);
    }
    const at::Tensor scores = y.view({kSequences, kLength, kWidth}).sum(2);
    return -at::log_softmax(scores, 1).select(1, 0).mean();
  }

  void descend(double rate) {
    const auto update = [&](at::Tensor& parameter) {
      const c10::NoGradGuard no_grad;
      // With one expert the gate is constant and may get no gradient.
      if (parameter.grad().defined()) parameter.sub_(parameter.grad(), rate);
      parameter.mutable_grad().reset();
    };
    for (auto* layers : {&first_, &second_}) {
      for (Linear& layer : *layers) {
        update(layer.weight);
        update(layer.bias);
      }
    }
    update(gate_);
  }

  int64_t dropped() const { return dropped_; }

 private:
  int64_t choices_, dropped_ = 0;
  std::vector<Linear> first_, second_;
  at::Tensor gate_;
  std::unique_ptr<Router> router_;
};

struct Step {
  double loss;
  int64_t dropped;
};

void expect_curve(int64_t experts, int64_t choices, const std::vector<Step>& steps) {
  TutelModel model(experts, choices);
  at::manual_seed(0);
  const at::Tensor x = at::randn({kTokens, kWidth});
  for (size_t i = 0; i < steps.size(); ++i) {
    const bool last = i + 1 == steps.size();
    c10::AutoGradMode grad(!last);
    const at::Tensor loss = model.loss(x);
    EXPECT_NEAR(loss.item<double>(), steps[i].loss, 2e-5) << "step " << i;
    EXPECT_EQ(model.dropped(), steps[i].dropped) << "step " << i;
    if (last) return;
    loss.backward();
    model.descend(1e-5);
  }
}

TEST(TutelLossCurve, OneExpertMatchesF8) {
  expect_curve(1, 1, {{29.985006, 0}, {28.761885, 0}, {27.580479, 0}, {26.433153, 0}});
}

TEST(TutelLossCurve, TwoExpertsMatchF8) {
  expect_curve(2, 1, {{22.076483, 16}, {21.387951, 12}, {20.730259, 9}, {20.102461, 8}});
}

TEST(TutelLossCurve, TwoOfTwoExpertsMatchF8) {
  expect_curve(2, 2, {{24.080132, 0}, {23.292826, 0}, {22.534143, 0}});
}

}  // namespace
}  // namespace switchyard
