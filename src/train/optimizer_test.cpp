#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "train/optimizer_reference.h"

namespace switchyard {
namespace {

constexpr int64_t kExperts = 3;

// Shapes that take every path: a factored matrix, one too narrow to factor, a vector, experts.
struct Fixture {
  explicit Fixture(Precision precision) : parameters(at::kCPU, precision) {
    parameters.create("matrix", {130, 150}, {InitRule::Kind::kNormal, 0.5});
    parameters.create("narrow", {32, 150}, {InitRule::Kind::kNormal, 0.5});
    parameters.create("norm", {150}, {InitRule::Kind::kConstant, 1.0});
    parameters.create("experts", {kExperts, 129, 140}, {InitRule::Kind::kTruncatedNormal, 0.1},
                      kExperts);
    parameters.create("tiny", {130, 130}, {InitRule::Kind::kConstant, 0.0});
    parameters.initialize(7);
  }
  // Gradients of very different size, so that clipping of the update matters.
  void set_gradients(int64_t step) {
    parameters.clear_gradients();
    at::manual_seed(static_cast<uint64_t>(step));
    for (Parameter& parameter : parameters.all()) {
      parameter.add_gradient(at::randn(parameter.value().sizes()) *
                             std::pow(10.0, static_cast<double>(step % 5) - 3));
    }
  }
  ParameterSet parameters;
};

// Master weights in double beside the run under test, updated by the reference.
class Twin {
 public:
  Twin(const OptimizerConfig& config, ParameterSet& parameters) : config_(config) {
    for (Parameter& parameter : parameters.all()) {
      const at::Tensor value = parameter.value().detach().to(at::kDouble).clone();
      for (int64_t m = 0; m < parameter.num_matrices(); ++m) {
        const at::Tensor part = parameter.is_stack() ? value.select(0, m) : value;
        const bool factored = config.kind == "adafactor" && part.dim() == 2 &&
                              part.size(0) >= 128 && part.size(1) >= 128;
        slots_.push_back({&parameter, m, part,
                          factored ? at::zeros({part.size(0)}, at::kDouble) : at::zeros_like(part),
                          factored                 ? at::zeros({part.size(1)}, at::kDouble)
                          : config.kind == "adamw" ? at::zeros_like(part)
                                                   : at::Tensor(),
                          config.momentum > 0 ? at::zeros_like(part) : at::Tensor()});
      }
    }
  }
  void step(int64_t step, double rate, double scale) {
    for (Slot& slot : slots_) {
      at::Tensor gradient = slot.parameter->gradient().to(at::kDouble) * scale;
      if (slot.parameter->is_stack()) gradient = gradient.select(0, slot.index);
      const double decay = slot.value.dim() > 1 ? config_.weight_decay : 0.0;
      if (config_.kind == "adamw") {
        reference::adamw(config_, slot.value, gradient, slot.a, slot.b, step, rate, decay);
      } else {
        reference::adafactor(config_, slot.value, gradient, slot.a, slot.b, slot.moment, step, rate,
                             decay);
      }
    }
  }
  void expect_near(double tolerance) {
    for (const Slot& slot : slots_) {
      at::Tensor ours = slot.parameter->value().detach().to(at::kDouble);
      if (slot.parameter->is_stack()) ours = ours.select(0, slot.index);
      const double error = (ours - slot.value).abs().max().item<double>();
      const double size = slot.value.abs().max().item<double>();
      EXPECT_LE(error, tolerance * std::max(size, 1e-3)) << slot.parameter->name();
    }
  }

 private:
  struct Slot {
    Parameter* parameter;
    int64_t index;
    at::Tensor value, a, b, moment;
  };
  OptimizerConfig config_;
  std::vector<Slot> slots_;
};

void compare_with_reference(const OptimizerConfig& config) {
  Fixture fixture(Precision::kFloat32);
  Twin twin(config, fixture.parameters);
  const auto optimizer = make_optimizer(config, fixture.parameters);
  for (int64_t step = 1; step <= 10; ++step) {
    fixture.set_gradients(step);
    const double rate = 0.05 / static_cast<double>(step);
    const double scale = step == 3 ? 0.25 : 1.0;
    optimizer->step(rate, scale);
    twin.step(step, rate, scale);
  }
  EXPECT_EQ(optimizer->steps_done(), 10);
  twin.expect_near(2e-5);
}

// Three steps on a 2 x 2 matrix, worked out in plain Python from the papers' formulas.
at::Tensor three_small_steps(const OptimizerConfig& config) {
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  Parameter& matrix = parameters.create("m", {2, 2}, {});
  matrix.value().detach().copy_(at::tensor({1.0f, -2.0f, 0.5f, 3.0f}).view({2, 2}));
  const auto optimizer = make_optimizer(config, parameters);
  const std::vector<std::vector<float>> gradients = {
      {0.1f, -0.2f, 0.3f, 0.4f}, {-2.0f, 1.0f, 0.5f, -0.25f}, {0.01f, 0.02f, -0.03f, 0.04f}};
  for (const std::vector<float>& gradient : gradients) {
    parameters.clear_gradients();
    matrix.add_gradient(at::tensor(gradient).view({2, 2}));
    optimizer->step(0.1, 1.0);
  }
  return matrix.value().detach().view(-1).to(at::kDouble);
}

void expect_values(const at::Tensor& found, const std::vector<double>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(found[static_cast<int64_t>(i)].item<double>(), expected[i], 1e-6) << i;
  }
}

TEST(Optimizer, AdafactorByHand) {
  OptimizerConfig config;
  config.min_dim_factored = 2;
  expect_values(three_small_steps(config),
                {1.0489305786145782, -1.985259366128341, 0.1627672056397029, 2.924183076646306});
  config.min_dim_factored = 128;
  config.scale_parameter = false;
  expect_values(three_small_steps(config),
                {1.0125537956022161, -2.0152748889091945, 0.30832180978522156, 2.9505614476963147});
}

TEST(Optimizer, AdafactorWithMomentumByHand) {
  OptimizerConfig config;
  config.min_dim_factored = 2;
  config.momentum = 0.9;
  expect_values(three_small_steps(config),
                {1.0006717154809985, -1.9828093683703012, 0.41621887647326306, 2.976386162217751});
}

TEST(Optimizer, AdamWByHand) {
  OptimizerConfig config;
  config.kind = "adamw";
  config.beta2 = 0.99;
  config.epsilon = 1e-3;
  config.weight_decay = 0.2;
  expect_values(three_small_steps(config),
                {0.96995457444406, -1.8926833048054172, 0.20643959368407414, 2.6920326068175955});
}

TEST(Optimizer, AdamWMatchesReferenceInDouble) {
  OptimizerConfig config;
  config.kind = "adamw";
  config.weight_decay = 0.1;
  compare_with_reference(config);
}

TEST(Optimizer, AdafactorMatchesReferenceInDouble) { compare_with_reference({}); }

TEST(Optimizer, AdafactorUnscaledWithDecayMatchesReference) {
  OptimizerConfig config;
  config.scale_parameter = false;
  config.weight_decay = 0.05;
  config.clip_threshold = 0.5;
  compare_with_reference(config);
}

TEST(Optimizer, AdafactorWithMomentumMatchesReference) {
  OptimizerConfig config;
  config.momentum = 0.9;
  config.weight_decay = 0.05;
  compare_with_reference(config);
}

// One step of Adam from zero moves every weight by the rate against the gradient's sign.
TEST(Optimizer, FirstAdamStepIsTheSign) {
  Fixture fixture(Precision::kFloat32);
  OptimizerConfig config;
  config.kind = "adamw";
  config.epsilon = 1e-30;
  const auto optimizer = make_optimizer(config, fixture.parameters);
  fixture.set_gradients(1);
  Parameter& matrix = *fixture.parameters.find("matrix");
  const at::Tensor before = matrix.value().detach().clone();
  optimizer->step(0.01, 1.0);
  const at::Tensor moved = matrix.value().detach() - before;
  EXPECT_LT((moved + 0.01 * matrix.gradient().sign()).abs().max().item<double>(), 1e-6);
}

// Adafactor with one matrix whose g^2 has rank one: the factored moment is exact, so the first
// update is the sign, and the rate is relative to the matrix's root mean square.
TEST(Optimizer, AdafactorOnRankOneIsTheSign) {
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  Parameter& matrix = parameters.create("m", {128, 128}, {InitRule::Kind::kConstant, 2.0});
  parameters.initialize(1);
  at::manual_seed(3);
  const at::Tensor gradient = at::outer(at::randn({128}), at::randn({128}));
  matrix.add_gradient(gradient);
  const auto optimizer = make_optimizer({}, parameters);
  optimizer->step(0.01, 1.0);
  const at::Tensor expected = 2.0 - 0.01 * 2.0 * gradient.sign();
  EXPECT_LT((matrix.value().detach() - expected).abs().max().item<double>(), 1e-5);
}

// Experts are independent: one expert's update does not depend on the others' gradients.
TEST(Optimizer, ExpertsAreFactoredByThemselves) {
  Fixture a(Precision::kFloat32), b(Precision::kFloat32);
  const auto optimizer_a = make_optimizer({}, a.parameters);
  const auto optimizer_b = make_optimizer({}, b.parameters);
  a.set_gradients(1);
  b.set_gradients(1);
  b.parameters.find("experts")->gradient().select(0, 2).mul_(1000);
  optimizer_a->step(0.1, 1.0);
  optimizer_b->step(0.1, 1.0);
  const at::Tensor left = a.parameters.find("experts")->value().detach();
  const at::Tensor right = b.parameters.find("experts")->value().detach();
  EXPECT_TRUE(left.narrow(0, 0, 2).equal(right.narrow(0, 0, 2)));
}

TEST(Optimizer, RefreshesComputeCopies) {
  for (const char* kind : {"adamw", "adafactor"}) {
    Fixture fixture(Precision::kBfloat16Selective);
    OptimizerConfig config;
    config.kind = kind;
    const auto optimizer = make_optimizer(config, fixture.parameters);
    fixture.set_gradients(1);
    optimizer->step(0.1, 1.0);
    for (const Parameter& parameter : fixture.parameters.all()) {
      EXPECT_TRUE(parameter.compute().equal(parameter.value().detach().to(at::kBFloat16)))
          << kind << " " << parameter.name();
    }
  }
}

// State copied into a fresh optimizer continues bit for bit.
TEST(Optimizer, StateContinuesBitForBit) {
  for (const std::string kind : {"adamw", "adafactor", "adafactor with momentum"}) {
    OptimizerConfig config;
    config.kind = kind.substr(0, kind.find(' '));
    if (kind != config.kind) config.momentum = 0.9;
    Fixture one(Precision::kFloat32), two(Precision::kFloat32);
    const auto whole = make_optimizer(config, one.parameters);
    const auto first = make_optimizer(config, two.parameters);
    for (int64_t step = 1; step <= 3; ++step) {
      one.set_gradients(step);
      two.set_gradients(step);
      whole->step(0.1, 1.0);
      first->step(0.1, 1.0);
    }
    const auto second = make_optimizer(config, two.parameters);
    const auto saved = first->state(), fresh = second->state();
    ASSERT_EQ(saved.size(), fresh.size());
    for (size_t i = 0; i < saved.size(); ++i) {
      EXPECT_EQ(saved[i].name, fresh[i].name);
      fresh[i].tensor.copy_(saved[i].tensor);
    }
    second->set_steps_done(first->steps_done());
    one.set_gradients(4);
    two.set_gradients(4);
    whole->step(0.1, 1.0);
    second->step(0.1, 1.0);
    for (Parameter& parameter : one.parameters.all()) {
      EXPECT_TRUE(parameter.value().equal(two.parameters.find(parameter.name())->value()))
          << kind << " " << parameter.name();
    }
  }
}

TEST(Optimizer, GradientNormIsOverAllParameters) {
  ParameterSet parameters(at::kCPU, Precision::kFloat32);
  parameters.create("a", {2}, {}).add_gradient(at::full({2}, 3.0));
  parameters.create("b", {1, 1}, {}).add_gradient(at::full({1, 1}, -4.0));
  parameters.create("unused", {5}, {});
  EXPECT_DOUBLE_EQ(gradient_norm(parameters), std::sqrt(9.0 + 9.0 + 16.0));
}

TEST(Optimizer, ClipFactor) {
  EXPECT_DOUBLE_EQ(clip_factor(10, 0), 1.0);
  EXPECT_DOUBLE_EQ(clip_factor(10, 2), 0.2);
  EXPECT_DOUBLE_EQ(clip_factor(1, 2), 1.0);
}

}  // namespace
}  // namespace switchyard
