#include "base/format.h"
#include "bench/cases/case_tools.h"
#include "bench/cases/op_case.h"
#include "ops/ops.h"

namespace switchyard {
namespace {

struct Shape {
  int64_t rows, in, out;
};

// Projections, feed-forwards and vocabularies of mini (32 x 256/64) and base (8 x 512/128).
constexpr Shape kShapes[] = {
    {8192, 256, 256}, {8192, 256, 1024}, {8192, 1024, 256}, {2048, 256, 8192},
    {4096, 768, 768}, {4096, 768, 3072}, {4096, 3072, 768}, {1024, 768, 32128},
};

OpPair prepare(const Shape& shape, at::ScalarType type, Direction direction) {
  const at::Tensor x = random_leaf({shape.rows, shape.in}, type);
  const auto w = random_weight({shape.out, shape.in}, type, 0.05);
  const at::Tensor plain_w = plain_leaf(*w);
  const at::Tensor upstream = at::randn({shape.rows, shape.out}).to(type);
  return {
      pass(direction, [=] { return ops::linear(x, *w); }, upstream, {{x}, {w}}),
      pass(direction, [=] { return at::linear(x, plain_w); }, upstream, {{x, plain_w}, {}}),
  };
}

OpCase make_case(const Shape& shape, const std::string& type, Direction direction) {
  const bool both = direction == Direction::kBoth;
  const double size = type == "bf16" ? 2 : 4;
  const auto rows = static_cast<double>(shape.rows), in = static_cast<double>(shape.in),
             out = static_cast<double>(shape.out);
  const double weights = in * out, activations = rows * (in + out);
  OpCase c;
  c.name = format("gemm/{}/{}x{}x{}/{}", type, shape.rows, shape.in, shape.out,
                  direction_name(direction));
  c.type = type;
  c.work.flops = (both ? 6 : 2) * rows * weights;
  // Backward: two more products, one of which writes a float32 gradient.
  c.work.weight_bytes = both ? (2 * size + 4) * weights : size * weights;
  c.work.bytes = c.work.weight_bytes + (both ? 3 : 1) * size * activations;
  c.memory = 16 * weights + 4 * size * activations;
  c.prepare = [=] {
    return prepare(shape, type == "bf16" ? at::kBFloat16 : at::kFloat, direction);
  };
  return c;
}

}  // namespace

std::vector<OpCase> gemm_cases() {
  std::vector<OpCase> cases;
  for (const char* type : {"bf16", "fp32"}) {
    for (const Shape& shape : kShapes) {
      for (const Direction direction : kDirections) {
        cases.push_back(make_case(shape, type, direction));
      }
    }
  }
  return cases;
}

}  // namespace switchyard
