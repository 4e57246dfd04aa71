#include "base/format.h"
#include "bench/cases/case_tools.h"
#include "bench/cases/op_case.h"
#include "bench/zipf_ids.h"
#include "ops/ops.h"
#include "ops/reference.h"

namespace switchyard {
namespace {

// Activations of mini's and base's encoders, and their vocabularies.
struct Shape {
  int64_t rows, width, vocab_size;
};
constexpr Shape kShapes[] = {{8192, 256, 8192}, {4096, 768, 32128}};

double elements(const Shape& shape) { return static_cast<double>(shape.rows * shape.width); }

OpCase named(const char* operation, const Shape& shape, Direction direction) {
  OpCase c;
  c.name = format("{}/{}x{}/{}", operation, shape.rows, shape.width, direction_name(direction));
  c.type = "bf16";
  c.memory = 40 * elements(shape);
  return c;
}

OpCase rms_norm_case(const Shape& shape, Direction direction) {
  OpCase c = named("rms_norm", shape, direction);
  // x, y; backward: x, dy, dx.
  c.work.bytes = (direction == Direction::kBoth ? 5 : 2) * 2 * elements(shape);
  c.prepare = [=]() -> OpPair {
    constexpr double kEpsilon = 1e-6;
    const at::Tensor x = random_leaf({shape.rows, shape.width}, at::kBFloat16);
    const auto scale = random_weight({shape.width}, at::kBFloat16, 1.0);
    const at::Tensor plain_scale = plain_leaf(*scale);
    const at::Tensor upstream = at::randn(x.sizes()).to(at::kBFloat16);
    return {
        pass(direction, [=] { return ops::rms_norm(x, *scale, kEpsilon); }, upstream,
             {{x}, {scale}}),
        pass(direction, [=] { return reference::rms_norm(x, plain_scale, kEpsilon); }, upstream,
             {{x, plain_scale}, {}}),
    };
  };
  return c;
}

OpCase dropout_case(const Shape& shape, Direction direction) {
  OpCase c = named("dropout", shape, direction);
  // x, y; backward: dy, dx.
  c.work.bytes = (direction == Direction::kBoth ? 4 : 2) * 2 * elements(shape);
  c.prepare = [=]() -> OpPair {
    constexpr double kRate = 0.1;
    const at::Tensor x = random_leaf({shape.rows, shape.width}, at::kBFloat16);
    const at::Tensor upstream = at::randn(x.sizes()).to(at::kBFloat16);
    const RandomStream stream(1, kRandomDropout);
    return {
        pass(direction, [=] { return ops::dropout(x, kRate, stream); }, upstream, {{x}, {}}),
        pass(direction, [=] { return at::dropout(x, kRate, true); }, upstream, {{x}, {}}),
    };
  };
  return c;
}

OpCase embedding_case(const Shape& shape, Direction direction) {
  const bool both = direction == Direction::kBoth;
  const double table_elements = static_cast<double>(shape.vocab_size * shape.width);
  OpCase c = named("embedding", shape, direction);
  // Rows read and written; backward: dy read, the whole table's gradient written.
  c.work.weight_bytes = both ? 4 * table_elements : 0;
  c.work.bytes = c.work.weight_bytes + (both ? 3 : 2) * 2 * elements(shape);
  c.memory += 12 * table_elements;
  c.prepare = [=]() -> OpPair {
    const at::Tensor ids = zipf_ids(shape.rows, 1, shape.vocab_size, 1).view({-1});
    const auto table = random_weight({shape.vocab_size, shape.width}, at::kBFloat16, 1.0);
    const at::Tensor plain_table = plain_leaf(*table);
    const at::Tensor upstream = at::randn({shape.rows, shape.width}).to(at::kBFloat16);
    return {
        pass(direction, [=] { return ops::embedding(ids, *table); }, upstream, {{}, {table}}),
        pass(direction, [=] { return at::embedding(plain_table, ids); }, upstream,
             {{plain_table}, {}}),
    };
  };
  return c;
}

}  // namespace

std::vector<OpCase> row_cases() {
  std::vector<OpCase> cases;
  for (const auto& make : {rms_norm_case, dropout_case, embedding_case}) {
    for (const Shape& shape : kShapes) {
      for (const Direction direction : kDirections) cases.push_back(make(shape, direction));
    }
  }
  return cases;
}

}  // namespace switchyard
