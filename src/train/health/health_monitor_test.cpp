#include "train/health/health_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/format.h"
#include "train/health/culprit.h"

namespace switchyard {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class HealthMonitorTest : public ::testing::Test {
 protected:
  HealthMonitorTest() : model_(recipe().model, Precision::kFloat32) {
    model_.parameters().initialize(1);
    at::manual_seed(5);
    batch_ =
        make_batch(at::randint(1, 100, {8, 12}, at::kLong), at::randint(1, 100, {8, 6}, at::kLong));
  }

  static Recipe recipe() {
    Recipe recipe;
    ModelConfig& model = recipe.model;
    model.d_model = 32;
    model.d_ff = 48;
    model.d_kv = 8;
    model.num_heads = 4;
    model.num_encoder_layers = 2;
    model.num_decoder_layers = 2;
    model.vocab_size = 100;
    model.moe.num_experts = 4;
    model.init_scale = 1.0;
    recipe.train.batch_sequences = 8;
    recipe.train.precision = "fp32";
    return recipe;
  }

  at::Tensor weights(const std::string& name) {
    return model_.parameters().find(name)->value().detach();
  }

  Verdict judge_a_step(const HealthConfig& config = {}) {
    const StepResult result = compute_gradients(model_, batch_, recipe(), 7);
    return HealthMonitor(config).judge(7, result, model_.parameters(), 0, state_);
  }

  /// The same of made-up sums.
  Verdict judge(HealthMonitor& monitor, double loss, double gradient_norm = 1, double seconds = 0) {
    StepResult result;
    result.loss = loss;
    result.gradient_norm = gradient_norm;
    return monitor.judge(++step_, result, model_.parameters(), seconds, state_);
  }

  EncoderDecoder model_;
  Batch batch_;
  HealthState state_;
  int64_t step_ = 0;
};

TEST_F(HealthMonitorTest, FindsNothingInASoundStep) {
  const Verdict verdict = judge_a_step();
  EXPECT_EQ(verdict.action, HealthAction::kGoOn);
  EXPECT_TRUE(verdict.findings.empty()) << verdict.text();
}

// Every expert of every routed layer, one weight each.
TEST_F(HealthMonitorTest, NanInOneExpertIsNamedInTheSameStep) {
  for (const auto& [stack, layer] : {std::pair{"encoder", 1}, {"decoder", 2}}) {
    for (const char* matrix : {"wi", "wo"}) {
      for (int64_t expert = 0; expert < 4; ++expert) {
        at::Tensor all =
            weights(format("{}.block.1.layer.{}.mlp.experts.{}.weight", stack, layer, matrix));
        at::Tensor one = all.select(0, expert).view(-1)[5];
        const at::Tensor before = one.clone();
        one.fill_(kNan);
        state_.skipped_in_a_row = 0;
        const Verdict verdict = judge_a_step();
        one.copy_(before);
        ASSERT_EQ(verdict.findings.size(), 1u);
        EXPECT_EQ(verdict.findings[0].kind, FindingKind::kNotFinite);
        EXPECT_EQ(verdict.action, HealthAction::kSkip);
        EXPECT_FALSE(verdict.weights_finite);
        EXPECT_THAT(verdict.text(),
                    AllOf(HasSubstr("the loss became NaN"),
                          HasSubstr(format("the weights of {} block 1, feed-forward, expert {} (",
                                           stack, expert)),
                          HasSubstr(format("experts.{}.weight", matrix)),
                          Not(HasSubstr("other matrices"))));
      }
    }
  }
  EXPECT_EQ(state_.found[static_cast<size_t>(FindingKind::kNotFinite)], 16);
}

TEST_F(HealthMonitorTest, InfiniteWeightsElsewhereAreNamedToo) {
  weights("decoder.block.0.layer.1.EncDecAttention.k.weight")[1][2] =
      std::numeric_limits<float>::infinity();
  weights("shared.weight")[3][4] = kNan;
  EXPECT_THAT(judge_a_step().text(),
              AllOf(HasSubstr("the weights of embedding"), HasSubstr("nor are 1 other matrices")));
}

// Where the weights are sound the gradient nearest to the loss names the place.
TEST_F(HealthMonitorTest, GradientsAreSearchedFromTheLossBack) {
  StepResult result = compute_gradients(model_, batch_, recipe(), 7);
  for (const char* name : {"encoder.block.0.layer.0.SelfAttention.q.weight",
                           "decoder.block.1.layer.2.mlp.experts.wo.weight"}) {
    at::Tensor gradient = model_.parameters().find(name)->gradient_for_writing().first;
    gradient.dim() == 3 ? gradient[2][0][0].fill_(kNan) : gradient[0][0].fill_(kNan);
  }
  result.gradient_squares = gradient_squares(model_.parameters());
  result.gradient_norm = gradient_norm(result.gradient_squares);
  const Verdict verdict = HealthMonitor({}).judge(7, result, model_.parameters(), 0, state_);
  EXPECT_TRUE(verdict.weights_finite);
  EXPECT_THAT(verdict.text(),
              AllOf(HasSubstr("the gradient norm became NaN"),
                    HasSubstr("the gradients of decoder block 1, feed-forward, expert 2"),
                    HasSubstr("nor are 1 other matrices"), HasSubstr("all weights are finite")));
}

TEST_F(HealthMonitorTest, SkipsAreCountedAndEndAfterSomeInARow) {
  HealthConfig config;
  config.in_a_row = 2;
  HealthMonitor monitor(config);
  EXPECT_EQ(judge(monitor, kNan).action, HealthAction::kSkip);
  EXPECT_EQ(judge(monitor, 1).action, HealthAction::kGoOn);
  EXPECT_EQ(state_.skipped_in_a_row, 0);
  EXPECT_EQ(judge(monitor, 1, kNan).action, HealthAction::kSkip);
  EXPECT_EQ(judge(monitor, kNan).action, HealthAction::kSkip);
  const Verdict last = judge(monitor, kNan);
  EXPECT_EQ(last.action, HealthAction::kStop);
  EXPECT_THAT(last.text(), HasSubstr("health.in_a_row = 2 updates"));
  EXPECT_EQ(state_.skipped_updates, 4);
}

TEST_F(HealthMonitorTest, PoliciesOfEachKind) {
  const auto of_not_finite = [&](const char* policy) {
    HealthConfig config;
    config.not_finite = policy;
    HealthMonitor monitor(config);
    return judge(monitor, kNan).action;
  };
  EXPECT_EQ(of_not_finite("skip"), HealthAction::kSkip);
  EXPECT_EQ(of_not_finite("roll_back"), HealthAction::kRollBack);
  EXPECT_EQ(of_not_finite("stop"), HealthAction::kStop);
  for (const auto& [policy, action] : {std::pair{"warn", HealthAction::kGoOn},
                                       {"skip", HealthAction::kSkip},
                                       {"roll_back", HealthAction::kRollBack},
                                       {"stop", HealthAction::kStop}}) {
    HealthConfig config;
    config.spike = policy;
    config.spike_window = 4;
    HealthMonitor monitor(config);
    state_ = {};
    for (int i = 0; i < 6; ++i) ASSERT_EQ(judge(monitor, 2 + 0.1 * i).action, HealthAction::kGoOn);
    const Verdict verdict = judge(monitor, 50);
    ASSERT_EQ(verdict.findings.size(), 1u);
    EXPECT_EQ(verdict.findings[0].kind, FindingKind::kSpike);
    EXPECT_EQ(verdict.action, action) << policy;
    EXPECT_EQ(verdict.first_step(), step_);
  }
  for (const auto& [policy, action] :
       {std::pair{"warn", HealthAction::kGoOn}, {"stop", HealthAction::kStop}}) {
    HealthConfig config;
    config.slow = policy;
    config.slow_window = 5;
    HealthMonitor monitor(config);
    HealthAction worst = HealthAction::kGoOn;
    state_ = {};
    for (int i = 0; i < 30; ++i) {
      worst = std::max(worst, judge(monitor, 2, 1, i < 20 ? 0.1 : 0.4).action);
    }
    EXPECT_EQ(worst, action) << policy;
    EXPECT_EQ(state_.found[static_cast<size_t>(FindingKind::kSlow)], 1);
  }
}

// Zero router weights tie all experts: the first one takes every token.
TEST_F(HealthMonitorTest, CollapsedRouterIsNamedWithTheStepItBeganAt) {
  weights("decoder.block.1.layer.2.mlp.router.classifier.weight").zero_();
  for (const auto& [policy, action] : {std::pair{"warn", HealthAction::kGoOn},
                                       {"roll_back", HealthAction::kRollBack},
                                       {"stop", HealthAction::kStop}}) {
    HealthConfig config;
    config.starved = policy;
    config.starved_steps = 3;
    HealthMonitor monitor(config);
    state_ = {};
    for (int64_t step = 11; step <= 13; ++step) {
      const StepResult result = compute_gradients(model_, batch_, recipe(), step);
      const Verdict verdict = monitor.judge(step, result, model_.parameters(), 0, state_);
      if (step < 13) {
        EXPECT_TRUE(verdict.findings.empty()) << verdict.text();
        continue;
      }
      EXPECT_EQ(verdict.action, action);
      EXPECT_EQ(verdict.first_step(), 11);
      EXPECT_THAT(verdict.text(), HasSubstr("decoder block 1, feed-forward: the router has "
                                            "collapsed onto expert 0"));
    }
  }
}

// What a checkpoint keeps of the detectors decides the same as going on would have.
TEST_F(HealthMonitorTest, GoesOnFromASavedState) {
  HealthConfig config;
  config.spike_window = 8;
  HealthMonitor monitor(config);
  for (int i = 0; i < 6; ++i) judge(monitor, 2 + 0.1 * i);
  const HealthState saved = state_;
  const std::string straight = judge(monitor, 9).text();
  EXPECT_THAT(straight, HasSubstr("jumped"));
  state_ = saved;
  HealthMonitor another(config);
  --step_;
  EXPECT_EQ(judge(another, 9).text(), straight);
  state_ = {};
  EXPECT_EQ(judge(another, 9).text(), "");
}

}  // namespace
}  // namespace switchyard
