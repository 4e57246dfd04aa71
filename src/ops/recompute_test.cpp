#include "ops/recompute.h"

#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "ops/ops.h"
#include "ops/parameter_bridge.h"
#include "tests/gradient_check.h"

namespace switchyard {
namespace {

using testing::random_parameter;
using testing::random_tensor;
using Tensors = std::vector<at::Tensor>;

Tensors run(const ops::Piece& piece, const Tensors& inputs, bool recompute) {
  if (!recompute) return piece(inputs);
  Tensors outputs;
  {
    const c10::NoGradGuard no_grad;
    outputs = piece(inputs);
  }
  return ops::recomputed(inputs, outputs, piece);
}

at::Tensor leaf(at::IntArrayRef shape, uint64_t seed) {
  return random_tensor(shape, seed).set_requires_grad(true);
}

/// Two outputs of two inputs and two parameters, one of them used through as_tensor(), whose
/// function leads to no input.
class Recompute : public ::testing::Test {
 protected:
  ops::Piece piece() {
    return [this](const Tensors& in) -> Tensors {
      ++calls_;
      const at::Tensor hidden = ops::relu(ops::linear(in[0], w_)) * as_tensor(scale_);
      return {hidden + in[1], hidden.square().sum()};
    };
  }
  /// Gradients of x, memory, w, scale of a function of the outputs; undefined where there is none.
  Tensors gradients(bool recompute, const std::function<at::Tensor(const Tensors&)>& loss) {
    w_.clear_gradient();
    scale_.clear_gradient();
    const at::Tensor x = leaf({3, 4}, 1), memory = leaf({3, 5}, 2);
    // Each has another user, before and after.
    const at::Tensor before = x.sin();
    const Tensors outputs = run(piece(), {before, memory}, recompute);
    (loss(outputs) + (memory * 3).cos().sum()).backward();
    Tensors result = {x.grad(), memory.grad()};
    for (Parameter* p : {&w_, &scale_}) {
      result.push_back(p->gradient().defined() ? p->gradient().clone() : at::Tensor());
    }
    return result;
  }
  void expect_same(const std::function<at::Tensor(const Tensors&)>& loss) {
    const Tensors plain = gradients(false, loss), again = gradients(true, loss);
    for (size_t i = 0; i < plain.size(); ++i) {
      ASSERT_EQ(plain[i].defined(), again[i].defined()) << i;
      if (!plain[i].defined()) continue;
      EXPECT_TRUE(at::equal(plain[i], again[i])) << i;
    }
  }

  Parameter w_ = random_parameter("w", {5, 4}, 3), scale_ = random_parameter("scale", {5}, 4);
  int calls_ = 0;
};

TEST_F(Recompute, GradientsAreThoseOfThePiece) {
  expect_same([](const Tensors& out) { return out[0].exp().sum() + out[1] * 2; });
}

TEST_F(Recompute, OutputsThatNobodyUsesAreLeftOut) {
  expect_same([](const Tensors& out) { return out[0].sum(); });
  expect_same([](const Tensors& out) { return out[1] * 2; });
  expect_same([](const Tensors& out) { return out[1].detach(); });
}

TEST_F(Recompute, AnOutputMayHaveNoGradient) {
  const at::Tensor x = leaf({2}, 1);
  const Tensors out = run(
      [](const Tensors& in) {
        return Tensors{in[0] * 2, at::zeros({}, at::kDouble)};
      },
      {x},
      /*recompute=*/true);
  (out[0].sum() + out[1]).backward();
  EXPECT_TRUE(at::equal(x.grad(), at::full({2}, 2.0, at::kDouble)));
}

TEST_F(Recompute, AnInputMayNeedNoGradient) {
  const at::Tensor x = leaf({3, 4}, 1), fixed = random_tensor({3, 5}, 2);
  run(piece(), {x, fixed}, true)[0].sum().backward();
  EXPECT_TRUE(x.grad().defined());
  EXPECT_FALSE(fixed.grad().defined());
}

TEST_F(Recompute, RunsOncePerBackward) {
  const at::Tensor x = leaf({3, 4}, 1), memory = leaf({3, 5}, 2);
  const at::Tensor loss = run(piece(), {x, memory}, true)[0].sum();
  EXPECT_EQ(calls_, 1);
  loss.backward({}, /*retain_graph=*/true);
  EXPECT_EQ(calls_, 2);
  const at::Tensor once = x.grad().clone(), w_once = w_.gradient().clone();
  loss.backward();
  EXPECT_EQ(calls_, 3);
  EXPECT_TRUE(at::equal(x.grad(), once * 2));
  // Rounded once more where a product starts from what is there instead of adding to it.
  EXPECT_TRUE(at::allclose(w_.gradient(), w_once * 2, 1e-6, 1e-7));
}

TEST_F(Recompute, PiecesMayBeNested) {
  const at::Tensor x = leaf({3, 4}, 1), memory = leaf({3, 5}, 2);
  const ops::Piece inner = piece();
  const ops::Piece outer = [&](const Tensors& in) { return run(inner, in, true); };
  run(inner, {x, memory}, false)[0].exp().sum().backward();
  const at::Tensor expected = x.grad().clone();
  x.mutable_grad().reset();
  run(outer, {x, memory}, true)[0].exp().sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), expected));
}

TEST_F(Recompute, WithoutGradientsNothingIsKept) {
  const at::Tensor x = leaf({3, 4}, 1), memory = leaf({3, 5}, 2);
  const c10::NoGradGuard no_grad;
  EXPECT_FALSE(run(piece(), {x, memory}, true)[0].requires_grad());
}

TEST_F(Recompute, TheGraphGoesWithItsOutputs) {
  const auto token = std::make_shared<int>(0);
  const at::Tensor x = leaf({3, 4}, 1);
  for (const bool backward : {false, true}) {
    const Tensors out = run(
        [token](const Tensors& in) {
          return Tensors{in[0] * 2, in[0].sum()};
        },
        {x}, true);
    EXPECT_GT(token.use_count(), 1);
    if (backward) (out[0].sum() + out[1]).backward();
  }
  EXPECT_EQ(token.use_count(), 1);
}

}  // namespace
}  // namespace switchyard
