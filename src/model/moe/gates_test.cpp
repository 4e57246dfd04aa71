#include "model/moe/gates.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

struct Gates {
  at::Tensor p;  // leaf
  RoutingPlan plan;
};

/// A token with two places, one with one place, one with none.
Gates gates_with(const std::string& gate) {
  Gates made;
  made.p = at::tensor({0.5, 0.3, 0.4, 0.2, 0.6, 0.1}, at::kDouble).view({3, 2});
  made.p.set_requires_grad(true);
  made.plan.gate = made.p * 1.0;
  made.plan.kept = at::tensor({1, 1, 1, 0, 0, 0}).view({3, 2}).to(at::kBool);
  weigh_gates(made.plan, gate);
  return made;
}

at::Tensor row(std::initializer_list<double> values) {
  return at::tensor(std::vector<double>(values), at::kDouble);
}

/// The gradient of a sum of kept gates times 1, 2, 3, ...
at::Tensor gradient_of(const std::string& gate) {
  const Gates made = gates_with(gate);
  const at::Tensor weights = at::arange(1, 7, at::kDouble).view({3, 2});
  (made.plan.gate * made.plan.kept * weights).sum().backward();
  return made.p.grad();
}

TEST(Gates, ProbabilitiesStay) {
  const Gates made = gates_with("probability");
  EXPECT_TRUE(at::equal(made.plan.gate, made.p));
}

TEST(Gates, ThoseWithAPlaceSumToOne) {
  for (const char* gate : {"normalized", "straight_through"}) {
    const at::Tensor kept = gates_with(gate).plan.gate.detach() * gates_with(gate).plan.kept;
    EXPECT_TRUE(at::allclose(kept[0], row({0.625, 0.375}))) << gate;
    EXPECT_TRUE(at::allclose(kept[1], row({1, 0}))) << gate;
    EXPECT_TRUE(at::allclose(kept[2], row({0, 0}))) << gate;
  }
}

TEST(Gates, OneNormalizedGateHasNoGradient) {
  const at::Tensor gradient = gradient_of("normalized");
  EXPECT_TRUE(at::allclose(gradient[1], row({0, 0})));
  // Two of them: d/dp of (p1 + 2 p2) / (p1 + p2).
  EXPECT_TRUE(at::allclose(gradient[0], row({-0.3, 0.5}) / 0.64));
  EXPECT_TRUE(at::isfinite(gradient).all().item<bool>());
}

TEST(Gates, StraightThroughHoldsTheSum) {
  const at::Tensor gradient = gradient_of("straight_through");
  EXPECT_TRUE(at::allclose(gradient[0], row({1, 2}) / 0.8));
  EXPECT_TRUE(at::allclose(gradient[1], row({3 / 0.4, 0})));
  EXPECT_TRUE(at::allclose(gradient[2], row({0, 0})));
}

}  // namespace
}  // namespace switchyard
