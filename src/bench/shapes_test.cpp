#include "bench/shapes.h"

#include <gtest/gtest.h>

#include "tests/error_of.h"

namespace switchyard {
namespace {

TEST(BenchShapes, AreValidAndFoundByName) {
  for (const BenchShape& shape : bench_shapes()) {
    EXPECT_NO_THROW(shape.recipe.validate(shape.name));
    EXPECT_EQ(&bench_shape(shape.name), &shape);
    EXPECT_EQ(shape.text.rfind(shape.name + ": ", 0), 0u) << shape.text;
  }
}

TEST(BenchShapes, UnknownOnesAreRefused) {
  const Error error = testing::error_of([] { bench_shape("huge"); });
  EXPECT_EQ(error.exit_code(), 2);
  EXPECT_EQ(error.hint_part(), "choose one of: tiny, mini, small, base8, base128");
}

}  // namespace
}  // namespace switchyard
