#include "train/gemm_rate.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(GemmRate, IsPlausible) {
  for (const Precision precision : {Precision::kFloat32, Precision::kBfloat16Selective}) {
    const double rate = measure_gemm_rate(precision, 0.05);
    EXPECT_GT(rate, 1e8);
    EXPECT_LT(rate, 1e15);
  }
}

}  // namespace
}  // namespace switchyard
