#include "base/format.h"
#include "bench/cases/case_tools.h"
#include "bench/cases/op_case.h"
#include "ops/ops.h"

namespace switchyard {
namespace {

struct Shape {
  int64_t sequences, heads, length, d_kv;
};

// Self-attention of mini, and of base at 4096 tokens.
constexpr Shape kShapes[] = {
    {32, 8, 256, 32}, {16, 12, 256, 64}, {8, 12, 512, 64}, {4, 12, 1024, 64}};

// The bias as a mask, as T5 in PyTorch has it. Where it gets a gradient, LibTorch's fused CPU
// kernel does not apply and its plain path runs.
at::Tensor plain_attention(const ops::AttentionInput& in) {
  const int64_t length = in.query.size(1);
  const at::Tensor positions = at::arange(length);
  const at::Tensor offsets = positions.unsqueeze(0) - positions.unsqueeze(1) + (length - 1);
  const at::Tensor bias = in.offset_bias.index_select(1, offsets.reshape(-1))
                              .view({1, -1, length, length})
                              .to(in.query.scalar_type());
  return at::scaled_dot_product_attention(in.query.transpose(1, 2), in.key.transpose(1, 2),
                                          in.value.transpose(1, 2), bias, 0.0, false, 1.0)
      .transpose(1, 2);
}

OpPair prepare(const Shape& s, Direction direction) {
  const std::vector<int64_t> shape = {s.sequences, s.length, s.heads, s.d_kv};
  ops::AttentionInput in;
  in.query = random_leaf(shape, at::kBFloat16, 0.4);
  in.key = random_leaf(shape, at::kBFloat16, 0.4);
  in.value = random_leaf(shape, at::kBFloat16);
  in.offset_bias = random_leaf({s.heads, 2 * s.length - 1}, at::kFloat);
  const at::Tensor upstream = at::randn(shape).to(at::kBFloat16);
  const Trained trained = {{in.query, in.key, in.value, in.offset_bias}, {}};
  return {
      pass(
          direction, [=] { return ops::attention(in); }, upstream, trained),
      pass(
          direction, [=] { return plain_attention(in); }, upstream, trained),
  };
}

OpCase make_case(const Shape& s, Direction direction) {
  const bool both = direction == Direction::kBoth;
  const auto length = static_cast<double>(s.length);
  const auto matrices = static_cast<double>(s.sequences * s.heads);
  const double values = matrices * length * static_cast<double>(s.d_kv);
  OpCase c;
  c.name = format("attention/{}x{}/{}x{}/{}", s.sequences, s.length, s.heads, s.d_kv,
                  direction_name(direction));
  c.type = "bf16";
  c.work.flops = (both ? 3.5 : 1) * 4 * values * length;  // two products, five more in backward
  c.work.bytes = (both ? 12 : 4) * 2 * values;  // q, k, v, y; then all, dy, and dq, dk, dv
  c.memory = 16 * 2 * values + 16 * matrices * length * length;  // LibTorch forms scores
  c.prepare = [=] { return prepare(s, direction); };
  return c;
}

}  // namespace

std::vector<OpCase> attention_cases() {
  std::vector<OpCase> cases;
  for (const Shape& shape : kShapes) {
    for (const Direction direction : kDirections) cases.push_back(make_case(shape, direction));
  }
  return cases;
}

}  // namespace switchyard
