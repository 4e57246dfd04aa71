#include <ATen/core/Reduction.h>

#include <cmath>

#include "base/format.h"
#include "bench/cases/case_tools.h"
#include "bench/cases/op_case.h"
#include "bench/zipf_ids.h"
#include "ops/ops.h"

namespace switchyard {
namespace {

struct Shape {
  int64_t rows, d_model, vocab_size;
};

// Targets of mini (32 x 64) and of base (8 x 128).
constexpr Shape kShapes[] = {{2048, 256, 8192}, {1024, 768, 32128}};

OpPair prepare(const Shape& shape, Direction direction) {
  const at::Tensor hidden = random_leaf({shape.rows, shape.d_model}, at::kBFloat16);
  const auto table = random_weight({shape.vocab_size, shape.d_model}, at::kBFloat16, 1.0);
  const at::Tensor plain_table = plain_leaf(*table);
  const at::Tensor targets = zipf_ids(shape.rows, 1, shape.vocab_size, 2).view({-1});
  const double scale = 1 / std::sqrt(static_cast<double>(shape.d_model));
  const auto plain = [=] {
    const at::Tensor logits = at::linear(hidden, plain_table).to(at::kFloat) * scale;
    return at::cross_entropy_loss(logits, targets, {}, at::Reduction::Sum, /*ignore_index=*/0);
  };
  return {
      pass(direction,
           [=] { return ops::cross_entropy(hidden, *table, targets, scale, 0.0).loss_sum; }, {},
           {{hidden}, {table}}),
      pass(direction, plain, {}, {{hidden, plain_table}, {}}),
  };
}

OpCase make_case(const Shape& shape, Direction direction) {
  const bool both = direction == Direction::kBoth;
  const auto rows = static_cast<double>(shape.rows), d = static_cast<double>(shape.d_model),
             vocab_size = static_cast<double>(shape.vocab_size);
  OpCase c;
  c.name = format("cross_entropy/{}x{}x{}/{}", shape.rows, shape.d_model, shape.vocab_size,
                  direction_name(direction));
  c.type = "bf16";
  c.work.flops = (both ? 6 : 2) * rows * d * vocab_size;
  // Nothing of the logits' size has to go through memory.
  c.work.weight_bytes = (both ? 2 + 2 + 4 : 2) * d * vocab_size;
  c.work.bytes = c.work.weight_bytes + (both ? 3 : 1) * 2 * rows * d;
  c.memory = 16 * d * vocab_size + 24 * rows * vocab_size;
  c.prepare = [=] { return prepare(shape, direction); };
  return c;
}

}  // namespace

std::vector<OpCase> cross_entropy_cases() {
  std::vector<OpCase> cases;
  for (const Shape& shape : kShapes) {
    for (const Direction direction : kDirections) cases.push_back(make_case(shape, direction));
  }
  return cases;
}

}  // namespace switchyard
