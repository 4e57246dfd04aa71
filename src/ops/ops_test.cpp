// Gradients of the ops by finite differences in float64, and the grouped experts against their
// plain reference in float32 and bfloat16.
#include "ops/ops.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "ops/parameter_bridge.h"
#include "ops/reference.h"
#include "tests/gradient_check.h"

namespace switchyard {
namespace {

using testing::expect_gradient;
using testing::random_parameter;
using testing::random_tensor;

at::Tensor leaf(at::IntArrayRef shape, uint64_t seed) {
  return random_tensor(shape, seed).set_requires_grad(true);
}

TEST(Linear, GradientsMatchFiniteDifferences) {
  at::Tensor x = leaf({2, 3, 5}, 1);
  Parameter w = random_parameter("w", {4, 5}, 2);
  const at::Tensor weight = random_tensor({2, 3, 4}, 3);
  const auto loss = [&] { return (ops::linear(x, w).square() * weight).sum(); };
  loss().backward();
  const auto value = [&] { return loss().item<double>(); };
  expect_gradient("x", x, x.grad(), value);
  expect_gradient("w", w.value(), w.gradient(), value);
}

TEST(Linear, LayersThatReadTheSameRowsAddTheirGradients) {
  at::Tensor x = leaf({2, 3, 5}, 1);
  Parameter a = random_parameter("a", {4, 5}, 2), b = random_parameter("b", {4, 5}, 3);
  const at::Tensor weight = random_tensor({2, 3, 4}, 4);
  const auto loss = [&] {
    const auto y = ops::linears(x, {&a, &b});
    return (y[0].square() * weight + y[1] * y[0]).sum();
  };
  loss().backward();
  const auto value = [&] { return loss().item<double>(); };
  expect_gradient("x", x, x.grad(), value);
  expect_gradient("a", a.value(), a.gradient(), value);
  expect_gradient("b", b.value(), b.gradient(), value);
  Parameter other = random_parameter("other", {3, 5}, 3);
  EXPECT_THROW(ops::linears(x, {&a, &other}), c10::Error);
}

TEST(Linear, ShapesThatDoNotFitThrow) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    Parameter w("w", random_tensor({3, 5}, 1, at::kFloat), {});
    w.set_compute_type(type);
    EXPECT_THROW(ops::linear(at::zeros({3, 4}, type), w), c10::Error) << toString(type);
    const at::Tensor none = at::zeros({0, 5}, type).set_requires_grad(true);
    ops::linear(none, w).sum().backward();
    EXPECT_EQ(w.gradient().abs().sum().item<double>(), 0) << toString(type);
  }
}

TEST(Linear, Bfloat16EqualsProductsInFloat32) {
  for (const auto& [rows, in, out] : {std::tuple{1, 5, 3}, {70, 64, 96}, {700, 33, 65}}) {
    Parameter w("w", random_tensor({out, in}, 2, at::kFloat), {});
    w.set_compute_type(at::kBFloat16);
    // A slice of wider rows, as a part of a joint projection would be.
    const at::Tensor x =
        random_tensor({rows, 2 * in}, 1, at::kFloat).to(at::kBFloat16).set_requires_grad(true);
    const at::Tensor part = x.narrow(1, in, in);
    const at::Tensor upstream = random_tensor({rows, out}, 3, at::kFloat).to(at::kBFloat16);
    const at::Tensor y = ops::linear(part, w);
    y.backward(upstream);
    const at::Tensor wide = part.detach().to(at::kFloat), weights = w.compute().to(at::kFloat),
                     wide_upstream = upstream.to(at::kFloat);
    const auto expect_near = [&](const at::Tensor& value, const at::Tensor& expected, double step) {
      const at::Tensor a = value.to(at::kFloat);
      EXPECT_TRUE(at::allclose(a, expected, step, 1e-4)) << (a - expected).abs().max();
    };
    expect_near(y.detach(), at::mm(wide, weights.t()), 1.0 / 256);
    expect_near(x.grad().narrow(1, in, in), at::mm(wide_upstream, weights), 1.0 / 256);
    expect_near(w.gradient(), at::mm(wide_upstream.t(), wide), 1e-5);
  }
}

TEST(Linear, GradientsAddUpUntilCleared) {
  at::Tensor x = leaf({3, 2}, 1);
  Parameter w = random_parameter("w", {2, 2}, 2);
  ops::linear(x, w).sum().backward();
  const at::Tensor once = w.gradient().clone();
  ops::linear(x, w).sum().backward();
  EXPECT_TRUE(at::allclose(w.gradient(), once * 2));
  w.clear_gradient();
  EXPECT_FALSE(w.gradient().defined());
  ops::linear(x, w).sum().backward();
  EXPECT_TRUE(at::equal(w.gradient(), once));
}

TEST(Embedding, GradientSumsOverRepeatedIds) {
  const at::Tensor ids = at::tensor({3, 0, 3, 1, 3, 2}, at::kLong).view({2, 3});
  Parameter table = random_parameter("table", {5, 4}, 2);
  const at::Tensor weight = random_tensor({2, 3, 4}, 3);
  const auto loss = [&] { return (ops::embedding(ids, table).square() * weight).sum(); };
  loss().backward();
  expect_gradient("table", table.value(), table.gradient(), [&] { return loss().item<double>(); });
}

TEST(RmsNorm, GradientsMatchFiniteDifferences) {
  at::Tensor x = leaf({3, 7}, 1);
  Parameter scale = random_parameter("scale", {7}, 2);
  const at::Tensor weight = random_tensor({3, 7}, 3);
  const auto loss = [&] { return (ops::rms_norm(x, scale, 1e-6) * weight).sum(); };
  loss().backward();
  const auto value = [&] { return loss().item<double>(); };
  expect_gradient("x", x, x.grad(), value);
  expect_gradient("scale", scale.value(), scale.gradient(), value);
}

TEST(RmsNorm, GradientOfTheResidualIsAdded) {
  at::Tensor x = leaf({3, 7}, 1);
  Parameter scale = random_parameter("scale", {7}, 2);
  const at::Tensor weight = random_tensor({3, 7}, 3);
  for (const auto type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    at::Tensor typed = x.detach().to(type).set_requires_grad(true);
    Parameter own("scale", scale.value().detach().to(type == at::kDouble ? type : at::kFloat), {});
    const auto [residual, normed] = ops::rms_norm_of_residual(typed, own, 1e-6);
    (residual.square() * weight + normed * weight * 2).sum().backward();
    const at::Tensor from_residual = 2 * typed.detach() * weight;
    at::Tensor plain = typed.detach().set_requires_grad(true);
    (reference::rms_norm(plain, own.value().detach(), 1e-6) * weight * 2).sum().backward();
    const at::Tensor expected = from_residual + plain.grad(),
                     error = (typed.grad() - expected).abs().max().to(at::kDouble);
    EXPECT_LT(error.item<double>(), type == at::kBFloat16 ? 0.1 : 1e-5) << toString(type);
    const auto alone = ops::rms_norm_of_residual(typed, own, 1e-6);
    typed.mutable_grad() = at::Tensor();
    (alone.residual * weight).sum().backward();
    EXPECT_TRUE(at::allclose(typed.grad(), weight.to(type)));
  }
}

TEST(RmsNorm, EqualsTheReference) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const double tolerance = type == at::kFloat ? 1e-5 : 2e-2;
    const at::Tensor values = random_tensor({4, 9, 50}, 1, type);
    const at::Tensor weight = random_tensor({4, 9, 50}, 2, type);
    const at::Tensor scale_values = random_tensor({50}, 3, at::kFloat).to(type).to(at::kFloat);
    const auto run = [&](bool fused) {
      Parameter scale("scale", scale_values.clone(), {});
      at::Tensor x = values.clone().set_requires_grad(true);
      const auto norm = [&] {
        return fused ? ops::rms_norm(x, scale, 1e-6)
                     : reference::rms_norm(x, as_tensor(scale), 1e-6);
      };
      norm().sum().backward();
      const at::Tensor y = norm();
      (y * weight).sum().backward();  // added to the first gradient
      return std::vector<at::Tensor>{y.detach(), x.grad(), scale.gradient()};
    };
    const std::vector<at::Tensor> fused = run(true), plain = run(false);
    for (size_t i = 0; i < fused.size(); ++i) {
      EXPECT_EQ(fused[i].scalar_type(), plain[i].scalar_type());
      const at::Tensor a = fused[i].to(at::kFloat), b = plain[i].to(at::kFloat);
      EXPECT_LE((a - b).abs().max().item<double>(), tolerance * b.abs().max().item<double>())
          << "result " << i << " in " << toString(type);
    }
  }
}

TEST(Geglu, GradientMatchesFiniteDifferences) {
  at::Tensor x = leaf({3, 8}, 1);
  const at::Tensor weight = random_tensor({3, 4}, 3);
  const auto loss = [&] { return (ops::geglu(x) * weight).sum(); };
  loss().backward();
  expect_gradient("x", x, x.grad(), [&] { return loss().item<double>(); });
}

TEST(Activations, EqualTheReference) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const double tolerance = type == at::kFloat ? 1e-5 : 1e-2;
    const at::Tensor values = random_tensor({3, 5, 34}, 1, type);
    for (const bool gated : {false, true}) {
      const auto run = [&](bool fused) {
        at::Tensor x = values.clone().set_requires_grad(true);
        // A transposed view: the kernels need contiguous memory.
        const at::Tensor turned = x.transpose(0, 1);
        const at::Tensor y = gated ? (fused ? ops::geglu(turned) : reference::geglu(turned))
                                   : (fused ? ops::relu(turned) : at::relu(turned));
        (y * random_tensor(y.sizes(), 2, type)).sum().backward();
        return std::pair{y.detach().to(at::kFloat), x.grad().to(at::kFloat)};
      };
      const auto fused = run(true), plain = run(false);
      EXPECT_LE((fused.first - plain.first).abs().max().item<double>(), 4 * tolerance);
      EXPECT_LE((fused.second - plain.second).abs().max().item<double>(), 4 * tolerance);
    }
  }
}

TEST(Dropout, IsDrawnAgainInBackwardAndDoesNotDependOnTheSplit) {
  const RandomStream stream(5, kRandomDropout, 3);
  at::Tensor x = at::ones({64, 30}, at::kDouble).set_requires_grad(true);
  const at::Tensor y = ops::dropout(x, 0.25, stream);
  y.sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), y.detach()));
  EXPECT_NEAR(y.ne(0).to(at::kDouble).mean().item<double>(), 0.75, 0.04);
  EXPECT_NEAR(y.max().item<double>(), 1 / 0.75, 1e-6);
  const at::Tensor second_half = ops::dropout(x.detach().narrow(0, 32, 32), 0.25, stream, 32);
  EXPECT_TRUE(at::equal(second_half, y.detach().narrow(0, 32, 32)));
}

TEST(Jitter, EqualsTheReferenceAndDoesNotDependOnTheSplit) {
  const RandomStream stream(5, kRandomJitter, 3);
  for (const auto type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    at::Tensor x = random_tensor({40, 37}, 1, type).set_requires_grad(true);
    const at::Tensor weight = random_tensor({40, 37}, 2, type);
    const at::Tensor y = ops::jitter(x, 0.25, stream, 9);
    (y * weight).sum().backward();
    const double tolerance = type == at::kBFloat16 ? 1e-2 : 1e-6;
    const auto near = [&](const at::Tensor& a, const at::Tensor& b) {
      return at::allclose(a.to(at::kDouble), b.to(at::kDouble), tolerance, tolerance);
    };
    EXPECT_TRUE(near(y.detach(), reference::jitter(x.detach(), 0.25, stream, 9)));
    EXPECT_TRUE(near(x.grad(), reference::jitter(weight, 0.25, stream, 9)));
    const at::Tensor ratio = y.detach().to(at::kDouble) / x.detach().to(at::kDouble);
    EXPECT_GE(ratio.min().item<double>(), 0.75 - tolerance);
    EXPECT_LE(ratio.max().item<double>(), 1.25 + tolerance);
    EXPECT_NEAR(ratio.mean().item<double>(), 1.0, 0.02);
    const at::Tensor rest = ops::jitter(x.detach().narrow(0, 15, 25), 0.25, stream, 24);
    EXPECT_TRUE(at::equal(rest, y.detach().narrow(0, 15, 25)));
  }
}

/// A plan over T tokens and E experts with some experts idle and some pairs dropped.
RoutingPlan some_plan(int64_t tokens, int64_t experts, int64_t choices, uint64_t seed) {
  RoutingPlan plan;
  plan.num_tokens = tokens;
  plan.num_choices = choices;
  plan.num_experts = experts;
  plan.gate = random_tensor({tokens, choices}, seed).abs();
  const RandomStream stream(seed, kRandomTest, 1);
  std::vector<std::vector<int64_t>> rows(static_cast<size_t>(experts));
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t k = 0; k < choices; ++k) {
      const uint64_t word = stream.bits(static_cast<uint64_t>(t * choices + k));
      if (word % 5 == 0) continue;
      rows[(word >> 8) % static_cast<uint64_t>(std::max<int64_t>(1, experts - 1))].push_back(
          t * choices + k);
    }
  }
  std::vector<int64_t> order;
  plan.offsets = {0};
  for (const auto& own : rows) {
    order.insert(order.end(), own.begin(), own.end());
    plan.offsets.push_back(static_cast<int64_t>(order.size()));
  }
  plan.row_choice = at::tensor(order, at::kLong);
  return plan;
}

struct ExpertCase {
  int64_t tokens, experts, choices;
  bool gated;
  double dropout;
  int64_t extra = 0;    // outputs beyond the width of the inputs
  bool linear = false;  // one map instead of two around an activation
};

class ExpertFeedForward : public ::testing::TestWithParam<ExpertCase> {};

TEST_P(ExpertFeedForward, GradientsMatchFiniteDifferences) {
  const ExpertCase& c = GetParam();
  constexpr int64_t kModel = 6, kInner = 5;
  at::Tensor x = leaf({c.tokens, kModel}, 11);
  RoutingPlan plan = some_plan(c.tokens, c.experts, c.choices, 12);
  plan.gate.set_requires_grad(true);
  Parameter wi =
      random_parameter("wi", {c.experts, (c.gated ? 2 : 1) * kInner, kModel}, 13, 1, c.experts);
  const int64_t outputs = kModel + c.extra;
  Parameter wo =
      random_parameter("wo", {c.experts, outputs, c.linear ? kModel : kInner}, 14, 1, c.experts);
  ops::ExpertOptions options{c.gated, c.dropout, RandomStream(3, kRandomDropout), 0};
  const at::Tensor weight = random_tensor({c.tokens, outputs}, 15);
  const auto loss = [&] {
    const at::Tensor y = c.linear ? ops::expert_linear(x, plan, wo)
                                  : ops::expert_feed_forward(x, plan, wi, wo, options);
    return (y * weight).sum();
  };
  loss().backward();
  const at::Tensor x_gradient = x.grad().clone(), gate_gradient = plan.gate.grad().clone();
  const auto value = [&] { return loss().item<double>(); };
  expect_gradient("x", x, x_gradient, value);
  expect_gradient("gate", plan.gate, gate_gradient, value);
  if (!c.linear) expect_gradient("wi", wi.value(), wi.gradient(), value);
  expect_gradient("wo", wo.value(), wo.gradient(), value);
}

TEST_P(ExpertFeedForward, EqualsTheReference) {
  const ExpertCase& c = GetParam();
  constexpr int64_t kModel = 48, kInner = 80;
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    // bfloat16 keeps 8 bits: the two paths round the gated sum in different places.
    const double tolerance = type == at::kFloat ? 1e-5 : 3e-2;
    RoutingPlan plan = some_plan(c.tokens, c.experts, c.choices, 12);
    plan.gate = plan.gate.to(at::kFloat).set_requires_grad(true);
    const at::Tensor wi_value =
        random_tensor({c.experts, (c.gated ? 2 : 1) * kInner, kModel}, 13, at::kFloat) * 0.1;
    const int64_t outputs = kModel + c.extra;
    const at::Tensor wo_value =
        random_tensor({c.experts, outputs, c.linear ? kModel : kInner}, 14, at::kFloat) * 0.1;
    const at::Tensor weight = random_tensor({c.tokens, outputs}, 15, at::kFloat);
    ops::ExpertOptions options{c.gated, c.dropout, RandomStream(3, kRandomDropout), 0};
    const auto run = [&](bool fused, std::vector<at::Tensor>& results) {
      Parameter wi("wi", wi_value.clone(), {}, c.experts),
          wo("wo", wo_value.clone(), {}, c.experts);
      wi.set_compute_type(type);
      wo.set_compute_type(type);
      at::Tensor x =
          random_tensor({c.tokens, kModel}, 11, at::kFloat).to(type).set_requires_grad(true);
      plan.gate.mutable_grad() = at::Tensor();
      at::Tensor y;
      if (c.linear) {
        y = fused ? ops::expert_linear(x, plan, wo)
                  : reference::expert_linear(x, plan, as_tensor(wo));
      } else {
        y = fused ? ops::expert_feed_forward(x, plan, wi, wo, options)
                  : reference::expert_feed_forward(x, plan, as_tensor(wi), as_tensor(wo), options);
      }
      (y.to(at::kFloat) * weight).sum().backward();
      results = {y.detach(), x.grad(), plan.gate.grad().clone(), wo.gradient()};
      if (!c.linear) results.push_back(wi.gradient());
    };
    std::vector<at::Tensor> fused, plain;
    run(true, fused);
    run(false, plain);
    for (size_t i = 0; i < fused.size(); ++i) {
      const at::Tensor a = fused[i].to(at::kFloat), b = plain[i].to(at::kFloat);
      EXPECT_LE((a - b).abs().max().item<double>(),
                tolerance * std::max(1.0, b.abs().max().item<double>()))
          << "result " << i << " in " << toString(type);
    }
  }
}

// The squares that bfloat16 products count along, for the gradient norm; not of a sum of two
// passes.
TEST_P(ExpertFeedForward, CountsTheSquaresOfItsGradients) {
  const ExpertCase& c = GetParam();
  RoutingPlan plan = some_plan(c.tokens, c.experts, c.choices, 12);
  plan.gate = plan.gate.to(at::kFloat);
  Parameter wi("wi", random_tensor({c.experts, (c.gated ? 2 : 1) * 40, 33}, 13, at::kFloat), {},
               c.experts);
  Parameter wo("wo", random_tensor({c.experts, 33, c.linear ? 33 : 40}, 14, at::kFloat), {},
               c.experts);
  wi.set_compute_type(at::kBFloat16);
  wo.set_compute_type(at::kBFloat16);
  const at::Tensor x = random_tensor({c.tokens, 33}, 11, at::kFloat).to(at::kBFloat16);
  const ops::ExpertOptions options{c.gated, c.dropout, RandomStream(3, kRandomDropout), 0};
  const auto backward = [&] {
    const at::Tensor y = c.linear ? ops::expert_linear(x, plan, wo)
                                  : ops::expert_feed_forward(x, plan, wi, wo, options);
    y.sum().backward();
  };
  for (int passes = 1; passes <= 2; ++passes) {  // the second adds to the first
    backward();
    for (const Parameter* parameter : {&wi, &wo}) {
      if (c.linear && parameter == &wi) continue;
      ASSERT_TRUE(parameter->gradient_squares());
      const double expected = parameter->gradient().to(at::kDouble).square().sum().item<double>();
      EXPECT_NEAR(*parameter->gradient_squares(), expected, 1e-6 * expected)
          << parameter->name() << " after pass " << passes;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ExpertFeedForward,
    ::testing::Values(ExpertCase{1, 1, 1, false, 0}, ExpertCase{9, 1, 1, false, 0},
                      ExpertCase{17, 4, 1, false, 0}, ExpertCase{17, 4, 1, true, 0},
                      ExpertCase{23, 3, 2, false, 0}, ExpertCase{23, 5, 2, true, 0.3},
                      ExpertCase{40, 7, 1, false, 0.5}, ExpertCase{3, 16, 1, false, 0},
                      ExpertCase{17, 4, 1, false, 0.3, 3}, ExpertCase{23, 5, 2, true, 0, 3},
                      ExpertCase{9, 1, 1, false, 0, 0, true},
                      ExpertCase{40, 7, 1, false, 0, 3, true},
                      ExpertCase{23, 3, 2, false, 0, -2, true}));

TEST(ExpertFeedForwardThreads, SameBitsForAnyNumberOfThreads) {
  const RoutingPlan plan = some_plan(200, 6, 1, 4);
  RoutingPlan wide = plan;
  wide.gate = plan.gate.to(at::kFloat);
  Parameter wi("wi", random_tensor({6, 64, 32}, 1, at::kFloat), {}, 6);
  Parameter wo("wo", random_tensor({6, 32, 64}, 2, at::kFloat), {}, 6);
  const at::Tensor x = random_tensor({200, 32}, 3, at::kFloat);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = ops::expert_feed_forward(x, wide, wi, wo, {});
  at::set_num_threads(2);
  const at::Tensor two = ops::expert_feed_forward(x, wide, wi, wo, {});
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(one, two));
}

TEST(ParallelFor, UsesMoreThanOneThread) {
  // Files compiled without -fopenmp would run at::parallel_for serially.
  at::set_num_threads(2);
  std::atomic<int> seen = 0;
  at::parallel_for(0, 2, 1, [&](int64_t, int64_t) { seen |= 1 << at::get_thread_num(); });
  EXPECT_EQ(seen, 3);
}

TEST(Attention, GradientsMatchFiniteDifferences) {
  for (const bool causal : {false, true}) {
    at::Tensor q = leaf({2, 3, 2, 4}, 1), k = leaf({2, 5, 2, 4}, 2), v = leaf({2, 5, 2, 4}, 3);
    at::Tensor bias = leaf({2, 7}, 4);
    const at::Tensor weight = random_tensor({2, 3, 2, 4}, 5);
    const auto loss = [&] {
      ops::AttentionInput input{q, k, v, bias, causal, {}, {}};
      input.query_segments = at::tensor({1, 1, 2, 1, 1, 1}, at::kLong).view({2, 3});
      input.key_segments = at::tensor({1, 1, 2, 2, 0, 1, 1, 1, 1, 0}, at::kLong).view({2, 5});
      return (ops::attention(input) * weight).sum();
    };
    loss().backward();
    const auto value = [&] { return loss().item<double>(); };
    expect_gradient("query", q, q.grad(), value);
    expect_gradient("key", k, k.grad(), value);
    expect_gradient("value", v, v.grad(), value);
    expect_gradient("bias", bias, bias.grad(), value);
  }
}

TEST(CrossEntropy, GradientsMatchFiniteDifferences) {
  at::Tensor hidden = leaf({5, 6}, 1);
  Parameter table = random_parameter("table", {9, 6}, 2);
  const at::Tensor targets = at::tensor({3, 0, 8, 1, 3}, at::kLong);
  const double z_weight = 0.05;
  const auto total = [&] {
    const auto r = ops::cross_entropy(hidden, table, targets, 0.5, z_weight);
    return r.loss_sum.item<double>() + z_weight * r.z_sum.item<double>();
  };
  ops::cross_entropy(hidden, table, targets, 0.5, z_weight).loss_sum.backward();
  const at::Tensor hidden_gradient = hidden.grad().clone(),
                   table_gradient = table.gradient().clone();
  expect_gradient("hidden", hidden, hidden_gradient, total);
  expect_gradient("table", table.value(), table_gradient, total, 54);
}

TEST(CrossEntropy, EqualsTheReference) {
  at::manual_seed(1);  // of the targets
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    // The larger shape takes two chunks of logits.
    const int64_t rows = type == at::kFloat ? 37 : 2050, vocab = type == at::kFloat ? 300 : 33000;
    const int64_t width = 16;
    const at::Tensor targets = at::randint(0, vocab, {rows}, at::kLong);
    targets.slice(0, 0, rows, 5).zero_();
    const double tolerance = type == at::kFloat ? 1e-5 : 1e-2;
    const at::Tensor values = random_tensor({rows, width}, 1, type);
    const at::Tensor table_values = random_tensor({vocab, width}, 2, at::kFloat);
    const auto run = [&](bool fused) {
      Parameter table("table", table_values.clone(), {});
      table.set_compute_type(type);
      at::Tensor hidden = values.clone().set_requires_grad(true);
      reference::CrossEntropy r;
      if (fused) {
        const auto result = ops::cross_entropy(hidden, table, targets, 0.5, 0.01);
        EXPECT_FALSE(result.z_sum.requires_grad() || result.token_log_probs.requires_grad());
        r = {result.loss_sum, result.z_sum, result.correct, result.token_log_probs};
        (r.loss_sum * 0.3).backward();
      } else {
        r = reference::cross_entropy(hidden, as_tensor(table), targets, 0.5);
        ((r.loss_sum + 0.01 * r.z_sum) * 0.3).backward();
      }
      return std::vector<at::Tensor>{r.loss_sum.detach(), r.z_sum.detach(), r.correct,
                                     r.token_log_probs,   hidden.grad(),    table.gradient()};
    };
    const std::vector<at::Tensor> fused = run(true), plain = run(false);
    EXPECT_TRUE(at::equal(fused[2], plain[2]));
    for (size_t i = 0; i < fused.size(); ++i) {
      const at::Tensor a = fused[i].to(at::kDouble), b = plain[i].to(at::kDouble);
      EXPECT_LE((a - b).abs().max().item<double>(), tolerance * b.abs().max().item<double>())
          << "result " << i << " in " << toString(type);
    }
  }
}

TEST(CrossEntropy, ASecondBackwardPassOverTheSameGraphGivesTheSameGradients) {
  constexpr int64_t kRows = 2050, kVocab = 33000;  // two chunks of logits
  Parameter table("table", random_tensor({kVocab, 8}, 2, at::kFloat), {});
  at::Tensor hidden = random_tensor({kRows, 8}, 1, at::kFloat).set_requires_grad(true);
  const at::Tensor targets = at::randint(0, kVocab, {kRows}, at::kLong);
  const at::Tensor loss = ops::cross_entropy(hidden, table, targets, 0.5, 0.01).loss_sum;
  std::vector<at::Tensor> gradients;
  for (int pass = 0; pass < 2; ++pass) {
    hidden.mutable_grad() = at::Tensor();
    table.clear_gradient();
    loss.backward({}, /*retain_graph=*/true);
    gradients.push_back(hidden.grad());
    gradients.push_back(table.gradient().clone());
  }
  // Up to rounding of sums of 2,050 terms, of which the worst is 1e-4: on some processors MKL
  // chooses its kernel, and so their order, by where buffers lie.
  for (const size_t i : {0, 1}) {
    const double largest = gradients[i].abs().max().item<double>();
    EXPECT_LE((gradients[i] - gradients[i + 2]).abs().max().item<double>(), 1e-5 * largest);
  }
}

// As a teacher that is another, wider model.
struct TaughtCase {
  TaughtCase(int64_t rows, int64_t vocab, at::ScalarType type)
      : teacher("teacher", random_tensor({vocab, 24}, 3, wide_of(type)), {}),
        table("table", random_tensor({vocab, 16}, 2, wide_of(type)), {}),
        hidden(random_tensor({rows, 16}, 1, type).set_requires_grad(true)),
        soft{random_tensor({rows, 24}, 4, type), &teacher, 0.4, 0.3, 1.7} {
    teacher.set_compute_type(type);
    table.set_compute_type(type);
  }
  static at::ScalarType wide_of(at::ScalarType type) {
    return type == at::kDouble ? at::kDouble : at::kFloat;
  }
  Parameter teacher, table;
  at::Tensor hidden;
  ops::SoftTargets soft;
};

TEST(Distillation, GradientMatchesFiniteDifferences) {
  TaughtCase c(5, 9, at::kDouble);
  const at::Tensor targets = at::tensor({3, 0, 8, 1, 3}, at::kLong);
  const double z_weight = 0.05;
  const auto run = [&] {
    return ops::distillation_loss(c.hidden, c.table, targets, 0.5, z_weight, c.soft);
  };
  const auto total = [&] {
    const auto r = run();
    return r.loss_sum.item<double>() + z_weight * r.z_sum.item<double>();
  };
  const auto result = run();
  EXPECT_NEAR(
      result.loss_sum.item<double>(),
      0.7 * result.hard_sum.item<double>() + 0.3 * 1.7 * 1.7 * result.soft_sum.item<double>(),
      1e-9);
  result.loss_sum.backward();
  EXPECT_FALSE(c.teacher.gradient().defined());
  expect_gradient("hidden", c.hidden, c.hidden.grad().clone(), total);
  expect_gradient("table", c.table.value(), c.table.gradient().clone(), total, 54);
}

TEST(Distillation, EqualsTheReference) {
  at::manual_seed(1);  // of the targets
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    // The larger shape takes two chunks of logits.
    const int64_t rows = type == at::kFloat ? 37 : 2050, vocab = type == at::kFloat ? 300 : 33000;
    const at::Tensor targets = at::randint(0, vocab, {rows}, at::kLong);
    targets.slice(0, 0, rows, 5).zero_();
    TaughtCase c(rows, vocab, type);
    const auto fused = ops::distillation_loss(c.hidden, c.table, targets, 0.5, 0.01, c.soft);
    (fused.loss_sum * 0.3).backward();
    TaughtCase d(rows, vocab, type);
    const auto plain = reference::distillation(
        d.hidden, as_tensor(d.table), targets, 0.5,
        {d.soft.hidden, d.teacher.compute(), d.soft.scale, d.soft.temperature});
    const at::Tensor loss = 0.7 * plain.hard.loss_sum + 0.3 * 1.7 * 1.7 * plain.soft_sum;
    ((loss + 0.01 * plain.hard.z_sum) * 0.3).backward();
    const std::pair<at::Tensor, at::Tensor> pairs[] = {
        {fused.loss_sum.detach(), loss.detach()},  {fused.hard_sum, plain.hard.loss_sum.detach()},
        {fused.soft_sum, plain.soft_sum.detach()}, {fused.z_sum, plain.hard.z_sum.detach()},
        {fused.correct, plain.hard.correct},       {c.hidden.grad(), d.hidden.grad()},
        {c.table.gradient(), d.table.gradient()}};
    const double tolerance = type == at::kFloat ? 1e-5 : 1e-2;
    for (size_t i = 0; i < std::size(pairs); ++i) {
      const at::Tensor a = pairs[i].first.to(at::kDouble), b = pairs[i].second.to(at::kDouble);
      EXPECT_LE((a - b).abs().max().item<double>(), tolerance * b.abs().max().item<double>())
          << "result " << i << " in " << toString(type);
    }
  }
}

TEST(CrossEntropy, WithoutGradientsNothingIsWritten) {
  Parameter table("table", random_tensor({50, 8}, 2, at::kFloat), {});
  const at::Tensor hidden = random_tensor({4, 8}, 1, at::kFloat);
  const at::Tensor targets = at::tensor({3, 0, 8, 49}, at::kLong);
  const c10::NoGradGuard no_grad;
  const auto result = ops::cross_entropy(hidden, table, targets, 1.0, 0.0);
  EXPECT_FALSE(result.loss_sum.requires_grad());
  EXPECT_FALSE(table.gradient().defined());
  EXPECT_THROW(ops::cross_entropy(hidden, table, targets + 1, 1.0, 0.0), c10::Error);
}

}  // namespace
}  // namespace switchyard
