// The fused attention and its four gradients against the plain reference under autograd.
#include <gtest/gtest.h>

#include <vector>

#include "ops/ops.h"
#include "ops/reference.h"
#include "tests/gradient_check.h"

namespace switchyard {
namespace {

using testing::random_tensor;

struct Case {
  int64_t batch, heads, queries, keys, width;
  bool bias, causal, segments, strided;
};

// [B, L, H, K] of `type`; strided: the middle third of a projection that is three times as wide.
at::Tensor some_heads(const Case& c, int64_t length, uint64_t seed, at::ScalarType type) {
  const int64_t row = c.heads * c.width;
  const at::Tensor wide = random_tensor({c.batch, length, 3 * row}, seed, at::kFloat).to(type);
  const at::Tensor slice = wide.narrow(2, row, row);
  const at::Tensor projected = c.strided ? slice : slice.contiguous();
  return projected.view({c.batch, length, c.heads, c.width}).detach().set_requires_grad(true);
}

// The last quarter of the keys is padding, and so is all of the last sequence of a batch.
at::Tensor some_segments(const Case& c, int64_t length, bool is_key) {
  at::Tensor segments = at::ones({c.batch, length}, at::kLong);
  if (is_key) {
    segments.narrow(1, length - length / 4, length / 4).zero_();
    if (c.batch > 1) segments.select(0, c.batch - 1).zero_();
  }
  return segments;
}

// Output, then the gradients of query, key, value and, if there is one, bias.
std::vector<at::Tensor> results(const Case& c, at::ScalarType type, bool fused) {
  at::Tensor query = some_heads(c, c.queries, 1, type);
  at::Tensor key = some_heads(c, c.keys, 2, type);
  at::Tensor value = some_heads(c, c.keys, 3, type);
  ops::AttentionInput in{query, key, value, {}, c.causal, {}, {}};
  if (c.bias) {
    in.offset_bias = random_tensor({c.heads, c.queries + c.keys - 1}, 4, at::kFloat);
    in.offset_bias.set_requires_grad(true);
  }
  if (c.segments) {
    in.query_segments = some_segments(c, c.queries, /*is_key=*/false);
    in.key_segments = some_segments(c, c.keys, /*is_key=*/true);
  }
  const at::Tensor weight = random_tensor(query.sizes(), 5, at::kFloat).to(type);
  const at::Tensor y = fused ? ops::attention(in) : reference::attention(in);
  (y * weight).sum().backward();
  std::vector<at::Tensor> all = {y.detach(), query.grad(), key.grad(), value.grad()};
  if (c.bias) all.push_back(in.offset_bias.grad());
  return all;
}

class AttentionEqualsReference : public ::testing::TestWithParam<Case> {};

TEST_P(AttentionEqualsReference, OutputAndGradients) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    // bfloat16 keeps 8 bits: the fused path rounds probabilities and their gradients as well.
    const double tolerance = type == at::kFloat ? 2e-5 : 1e-2;
    const std::vector<at::Tensor> fused = results(GetParam(), type, true);
    const std::vector<at::Tensor> plain = results(GetParam(), type, false);
    for (size_t i = 0; i < fused.size(); ++i) {
      ASSERT_EQ(fused[i].scalar_type(), plain[i].scalar_type());
      ASSERT_EQ(fused[i].sizes(), plain[i].sizes());
      const at::Tensor a = fused[i].to(at::kFloat), b = plain[i].to(at::kFloat);
      EXPECT_LE((a - b).abs().max().item<double>(),
                tolerance * std::max(1.0, b.abs().max().item<double>()))
          << "result " << i << " in " << toString(type);
    }
  }
}

//                                       B  H  S    T   K   bias  causal segments strided
INSTANTIATE_TEST_SUITE_P(Shapes, AttentionEqualsReference,
                         ::testing::Values(Case{1, 1, 1, 1, 1, true, false, false, false},
                                           Case{2, 3, 40, 40, 32, true, false, false, false},
                                           Case{2, 3, 40, 40, 32, true, false, true, true},
                                           Case{2, 2, 70, 70, 64, true, true, false, true},
                                           Case{3, 2, 29, 70, 16, false, false, true, false},
                                           Case{2, 1, 33, 17, 5, true, true, true, true}));

TEST(Attention, CopiesOtherLayouts) {
  // Heads before positions: no row stride describes it.
  const at::Tensor x = random_tensor({2, 3, 9, 8}, 1, at::kFloat);
  const at::Tensor dense = x.transpose(1, 2).contiguous();
  const ops::AttentionInput strange{
      x.transpose(1, 2), x.transpose(1, 2), x.transpose(1, 2), {}, false, {}, {}};
  EXPECT_TRUE(
      at::equal(ops::attention(strange), ops::attention({dense, dense, dense, {}, false, {}, {}})));
}

TEST(Attention, RefusesShapesThatDoNotFit) {
  const at::Tensor x = random_tensor({2, 3, 4, 8}, 1, at::kFloat);
  const at::Tensor longer = random_tensor({2, 5, 4, 8}, 1, at::kFloat);
  EXPECT_THROW(ops::attention({x, x, longer, {}, false, {}, {}}), c10::Error);
  EXPECT_THROW(ops::attention({x, x, x, at::zeros({4, 6}), false, {}, {}}), c10::Error);
  EXPECT_THROW(ops::attention({x, x, x, {}, false, at::ones({2, 3}, at::kLong), {}}), c10::Error);
}

}  // namespace
}  // namespace switchyard
